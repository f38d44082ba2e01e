"""What came back: what kind of mail it is, and whom it is about. All pure."""
