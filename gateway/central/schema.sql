-- The tables of the central side. `kakou central ingest` makes them if they are not there.
CREATE TABLE IF NOT EXISTS event (
  site text NOT NULL, gateway text NOT NULL, epoch bigint NOT NULL, seq bigint NOT NULL,
  stream smallint NOT NULL,             -- 0 verdict, 1 scan, 2 sample, 3 health
  stream_seq bigint NOT NULL,           -- from 1 without gaps
  kind text NOT NULL, at timestamptz, lane text, outcome text,
  late boolean NOT NULL,                -- published more than 60 s after it was stored
  received timestamptz NOT NULL DEFAULT now(),
  body json NOT NULL,                   -- the bytes as the gateway's chain of hashes covers them
  PRIMARY KEY (site, gateway, epoch, stream, stream_seq));
-- The number of the secret that made the subject key in `body`: one person has another key under each.
ALTER TABLE event ADD COLUMN IF NOT EXISTS subject_key integer;
-- The subject key itself, of visits; '' where a visit has none, NULL in events of an earlier version of the ingest.
ALTER TABLE event ADD COLUMN IF NOT EXISTS subject text;
CREATE INDEX IF NOT EXISTS event_subject ON event (subject, at) WHERE subject <> '';
CREATE INDEX IF NOT EXISTS event_at ON event (at) WHERE stream = 0;
CREATE INDEX IF NOT EXISTS event_received ON event USING brin (received);
-- Up to where a stream is complete: what its receipts say.
CREATE TABLE IF NOT EXISTS stream (
  site text NOT NULL, gateway text NOT NULL, epoch bigint NOT NULL, stream smallint NOT NULL,
  through bigint NOT NULL, PRIMARY KEY (site, gateway, epoch, stream));
-- Events that were purged or shed at the gateway before they came here.
CREATE TABLE IF NOT EXISTS gap (
  site text NOT NULL, gateway text NOT NULL, epoch bigint NOT NULL, stream smallint NOT NULL,
  from_seq bigint NOT NULL, to_seq bigint NOT NULL, found timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (site, gateway, epoch, stream, from_seq));
-- Events that came under the number of another: two boxes use one name, or one was set back to a copy of its data.
CREATE TABLE IF NOT EXISTS conflict (
  site text NOT NULL, gateway text NOT NULL, epoch bigint NOT NULL, seq bigint NOT NULL, stream smallint NOT NULL,
  stream_seq bigint NOT NULL, received timestamptz NOT NULL DEFAULT now(), body json NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS conflict_once
  ON conflict (site, gateway, epoch, stream, stream_seq, md5(body::text));
-- Events that could not be taken for what they say: their bytes as they came, and why. Each fills its place in its
-- stream, so that the others go on. Look here when a gateway has put `events_refused` on record.
CREATE TABLE IF NOT EXISTS refused (
  site text NOT NULL, gateway text NOT NULL, epoch bigint NOT NULL, seq bigint NOT NULL, stream smallint NOT NULL,
  stream_seq bigint NOT NULL, received timestamptz NOT NULL DEFAULT now(), why text NOT NULL, body bytea NOT NULL,
  PRIMARY KEY (site, gateway, epoch, stream, stream_seq));
CREATE INDEX IF NOT EXISTS refused_received ON refused (received);
-- Of whom, how many, when last and why then: for pages and dashboards.
CREATE OR REPLACE VIEW refused_by_gateway AS
SELECT r.site, r.gateway, r.events, r.last, n.why
FROM (SELECT site, gateway, count(*) AS events, max(received) AS last FROM refused GROUP BY site, gateway) r
CROSS JOIN LATERAL (SELECT why FROM refused o WHERE o.site = r.site AND o.gateway = r.gateway AND o.received = r.last
  ORDER BY epoch DESC, seq DESC LIMIT 1) n;
-- The last word of each gateway.
CREATE TABLE IF NOT EXISTS gateway (
  site text NOT NULL, gateway text NOT NULL, online boolean NOT NULL, since timestamptz NOT NULL,
  seen timestamptz NOT NULL, state jsonb, health jsonb, PRIMARY KEY (site, gateway));
-- When its health was heard last: a gateway may be online and silent.
ALTER TABLE gateway ADD COLUMN IF NOT EXISTS health_at timestamptz;
-- Events of a clock that nobody had confirmed, dated afterwards: a gateway tells what the difference
-- between wall and monotonic time of its boot was in truth. The stored time stays beside it.
-- The index takes whatever an event says: the start of a text that PostgreSQL can read, else nothing.
CREATE OR REPLACE FUNCTION event_boot(body json) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN body::text !~* '\\u(0000|d[89a-f][0-9a-f]{2})' THEN left(body->>'boot', 64) END $$;
DROP INDEX IF EXISTS event_clock;
CREATE INDEX IF NOT EXISTS event_clock_boot ON event (site, gateway, event_boot(body)) WHERE kind = 'kakou.clock.v1';
-- One event that says something odd must not blind the view for all: texts are read only where PostgreSQL can read them
-- (no NUL, no surrogates), numbers only where they are numbers. What is not clear has no corrected time.
CREATE OR REPLACE VIEW event_time AS
SELECT e.site, e.gateway, e.epoch, e.seq, e.kind, e.lane, e.outcome, e.at AS stored, r.quality,
  CASE WHEN r.synced = 'true' THEN e.at
       WHEN r.mono ~ '^[0-9]{1,15}$' THEN to_timestamp((c.offset_ms + r.mono::bigint) / 1000.0) END AS corrected
FROM event e
CROSS JOIN LATERAL (SELECT e.body::text !~* '\\u(0000|d[89a-f][0-9a-f]{2})' AS readable) t
CROSS JOIN LATERAL (SELECT
  CASE WHEN t.readable THEN e.body->>'clockquality' END AS quality,
  CASE WHEN t.readable THEN e.body->>'clocksynced' END AS synced,
  CASE WHEN t.readable THEN e.body->>'monoms' END AS mono,
  CASE WHEN t.readable THEN left(e.body->>'boot', 64) END AS boot) r
LEFT JOIN LATERAL (
  SELECT CASE WHEN d.offset_ms ~ '^(-[0-9]{1,13}|[0-9]{1,15})$' THEN d.offset_ms::bigint END AS offset_ms
  FROM event k
  CROSS JOIN LATERAL (SELECT
    CASE WHEN event_boot(k.body) IS NOT NULL THEN k.body->'data'->>'offset_ms' END AS offset_ms,
    CASE WHEN event_boot(k.body) IS NOT NULL THEN k.body->>'clocksynced' END AS synced) d
  WHERE k.kind = 'kakou.clock.v1' AND k.site = e.site AND k.gateway = e.gateway
    AND event_boot(k.body) = r.boot AND d.synced = 'true'
  ORDER BY k.epoch, k.seq LIMIT 1) c ON r.synced = 'false';
-- What gateways tell each other of uses and entries from codes, for a box that takes the place of another: `kakou central
-- ingest` hears it, and answers. In a schema of its own: entries hold ids of persons, and no dashboard reads them.
CREATE SCHEMA IF NOT EXISTS known;
CREATE TABLE IF NOT EXISTS known.used (
  site text NOT NULL, teller text NOT NULL,   -- whose word it is
  pass text COLLATE "C" NOT NULL,       -- signer and id, `~list` and a key, `~seal` and a number: as gateways tell it
  gateway text NOT NULL, lane text NOT NULL, visit bigint NOT NULL, at_ms bigint,
  heard timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (site, pass, teller));
CREATE INDEX IF NOT EXISTS used_teller ON known.used (site, teller, heard);
CREATE TABLE IF NOT EXISTS known.slot (    -- slots of registers that a site shares: keys and holders are hashes
  site text NOT NULL, teller text NOT NULL, register text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL,
  holder text COLLATE "C" NOT NULL, part text COLLATE "C" NOT NULL, body text NOT NULL, held boolean NOT NULL,
  heard timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (site, register, key, holder, part, teller));
CREATE INDEX IF NOT EXISTS slot_teller ON known.slot (site, teller, heard);
CREATE TABLE IF NOT EXISTS known.entry (
  site text NOT NULL, teller text NOT NULL, name text COLLATE "C" NOT NULL, text text NOT NULL,
  heard timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (site, name, teller));
CREATE INDEX IF NOT EXISTS entry_teller ON known.entry (site, teller, heard);
-- Of which gateways everything is known, and since when each is heard.
CREATE TABLE IF NOT EXISTS known.gateway (
  site text NOT NULL, gateway text NOT NULL, whole boolean NOT NULL DEFAULT false,
  since timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (site, gateway));
-- How much was heard. The broker keeps the number as well: a database that was set back has a smaller one.
CREATE TABLE IF NOT EXISTS known.hearing (
  one boolean PRIMARY KEY DEFAULT true CHECK (one), id text NOT NULL, mark bigint NOT NULL);
INSERT INTO known.hearing (id, mark) SELECT md5(random()::text || clock_timestamp()), 0 ON CONFLICT DO NOTHING;
