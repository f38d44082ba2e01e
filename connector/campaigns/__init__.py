"""What a campaign is: its model, reading and checking its file, its versions and their differences."""
