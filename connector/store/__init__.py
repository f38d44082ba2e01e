"""What is remembered: tables, ledger, outboxes, migrations. The only room that speaks SQL."""
