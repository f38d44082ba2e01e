"""What is said: templates, the fields they use, whole emails, follow-ups and compose addresses. All pure."""
