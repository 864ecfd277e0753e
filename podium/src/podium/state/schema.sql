-- state.db, format 4. Times are microseconds since 1970, UTC; documents are JSON text. History is only ever appended:
-- what changes in place is the instance's status, an inbox entry's state, an attempt's and a launch's end, and an answer.

CREATE TABLE instance (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  instance_id TEXT NOT NULL,
  tenant_id TEXT NOT NULL,
  life INTEGER NOT NULL,            -- the epoch of creation: another life of the same id has another one
  created_at INTEGER NOT NULL,
  status TEXT NOT NULL,             -- as last stored: initializing (wants a process), hibernated, failed
  reason TEXT,
  status_at INTEGER NOT NULL,
  boot_id TEXT,                     -- the boot under which writes may be unsynced; null after a clean stop
  journal_number INTEGER NOT NULL DEFAULT 0 -- the host's journal up to here is in this file
) STRICT;

CREATE TABLE epochs (
  epoch INTEGER PRIMARY KEY,
  base_seq INTEGER NOT NULL,        -- the last event number of the lines before
  reason TEXT NOT NULL,
  begun_at INTEGER NOT NULL
) STRICT;

-- What the agent runs as, each time it changed; a turn's checkpoint names both hashes.
CREATE TABLE revisions (
  revision INTEGER PRIMARY KEY,
  deployment_id TEXT NOT NULL,
  bundle_hash TEXT NOT NULL,
  config TEXT NOT NULL,
  config_hash TEXT NOT NULL,
  begun_at INTEGER NOT NULL
) STRICT;

CREATE TABLE inbox (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  message_id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,               -- message, wake; steer, stop, answer: said to the turn of a message; restart, upload
  body TEXT NOT NULL,
  body_hash BLOB NOT NULL,          -- SHA-256 of the body: the same id with another body is refused
  origin TEXT NOT NULL,
  accepted_at INTEGER NOT NULL,
  state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'turn', 'done', 'dropped')),
  turn INTEGER,                     -- the turn that consumed it
  target INTEGER REFERENCES inbox (position) -- the message whose turn it was said to: it is done when that is
) STRICT;
CREATE INDEX inbox_queued ON inbox (position) WHERE state = 'queued';
CREATE INDEX inbox_said ON inbox (target) WHERE state = 'turn';

-- Each run of a message; the row is written before hand-over, without an outcome.
CREATE TABLE attempts (
  position INTEGER NOT NULL REFERENCES inbox (position),
  attempt INTEGER NOT NULL,
  launch_id TEXT NOT NULL,
  workspace_version INTEGER,        -- what it began with
  first_seq INTEGER NOT NULL,       -- its stream_start
  started_at INTEGER NOT NULL,
  ended_at INTEGER,
  outcome TEXT,                     -- complete, stopped, exception, exit, oom, timeout, interrupted, abandoned
  error TEXT,
  PRIMARY KEY (position, attempt)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_open ON attempts (position) WHERE outcome IS NULL;

CREATE TABLE events (
  seq INTEGER PRIMARY KEY,
  epoch INTEGER NOT NULL,
  event_type TEXT NOT NULL,
  message_id TEXT,
  attempt INTEGER,
  ts INTEGER NOT NULL,
  content TEXT NOT NULL
) STRICT;

-- Acknowledged deltas of a turn that has not committed.
CREATE TABLE pending_deltas (
  id INTEGER PRIMARY KEY,
  message_id TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  deltas TEXT NOT NULL
) STRICT;

CREATE TABLE turns (
  turn INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,               -- message, init, idle, shutdown, upgrade, upload
  message_id TEXT NOT NULL UNIQUE,
  position INTEGER REFERENCES inbox (position),
  attempt INTEGER NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('complete', 'failed')),
  stop_reason TEXT NOT NULL,
  reply TEXT NOT NULL,
  usage TEXT NOT NULL,
  error TEXT,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  ended_at INTEGER NOT NULL
) STRICT;

-- The state document as history: version n is the newest snapshot at or below n and the deltas above it.
CREATE TABLE state_log (
  version INTEGER PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('snapshot', 'delta')),
  body TEXT NOT NULL
) STRICT;

-- The joint commits, hash-chained: hash = SHA-256 over the previous hash and this row's values.
CREATE TABLE checkpoints (
  checkpoint INTEGER PRIMARY KEY,
  turn INTEGER NOT NULL,
  part INTEGER NOT NULL DEFAULT 0,  -- 0 ends the turn; 1, 2 … were made within it
  parent INTEGER REFERENCES checkpoints (checkpoint),
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL,             -- the turn's last event
  position INTEGER NOT NULL,        -- the inbox up to here is done
  state_version INTEGER NOT NULL,   -- 0: no state yet
  state_hash TEXT NOT NULL,
  workspace_version INTEGER,        -- null on a plain directory
  bundle_hash TEXT NOT NULL,
  config_hash TEXT NOT NULL,
  usage TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  hash TEXT NOT NULL,
  UNIQUE (turn, part)
) STRICT;

CREATE TABLE launches (
  launch_id TEXT PRIMARY KEY,
  pid INTEGER,
  start_time INTEGER,               -- clock ticks since boot
  uid INTEGER,
  last_n INTEGER NOT NULL DEFAULT 0, -- the highest frame number whose effect is stored
  startup_ms TEXT NOT NULL DEFAULT '{}',
  started_at INTEGER NOT NULL,
  ended_at INTEGER,
  exit_code INTEGER,
  exit_signal INTEGER,
  reason TEXT,
  last_log TEXT NOT NULL DEFAULT '[]',
  hook TEXT,                        -- the newest thing it was at besides messages
  killed TEXT,                      -- why the platform ends it
  oom INTEGER NOT NULL DEFAULT 0    -- it ended for want of memory
) STRICT, WITHOUT ROWID;
CREATE INDEX launches_open ON launches (launch_id) WHERE ended_at IS NULL;

-- Questions to people; an attempt whose question `ordinal` is one that was answered before gets that answer. k numbers the different
-- questions of a message, so that a request_id never names another one.
CREATE TABLE questions (
  request_id TEXT PRIMARY KEY,
  message_id TEXT NOT NULL,
  k INTEGER NOT NULL,
  kind TEXT NOT NULL,
  content TEXT NOT NULL,
  content_hash BLOB NOT NULL,
  asked_at INTEGER NOT NULL,
  answer TEXT,
  answered_at INTEGER,
  ordinal INTEGER NOT NULL DEFAULT 0,
  attempt INTEGER NOT NULL DEFAULT 0, -- the newest that asked it
  withdrawn INTEGER NOT NULL DEFAULT 0, -- by that one, at answered_at
  UNIQUE (message_id, k)
) STRICT, WITHOUT ROWID;
