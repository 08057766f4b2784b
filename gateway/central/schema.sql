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
-- The last word of each gateway.
CREATE TABLE IF NOT EXISTS gateway (
  site text NOT NULL, gateway text NOT NULL, online boolean NOT NULL, since timestamptz NOT NULL,
  seen timestamptz NOT NULL, state jsonb, health jsonb, PRIMARY KEY (site, gateway));
