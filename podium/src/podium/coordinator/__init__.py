"""One per host: takes messages into durable inboxes, runs each agent as a process of its own, commits turns, streams output."""
