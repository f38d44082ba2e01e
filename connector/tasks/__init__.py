"""What reps do, and how it agrees with the CRM: merging, subjects, matching people. All pure."""
