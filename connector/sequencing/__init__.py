"""What happens when: calendar, due times, the sequencer and its simulation. Pure: no clock, no I/O."""
