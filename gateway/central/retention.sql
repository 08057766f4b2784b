-- Forgets what came more than so many days ago. As kakou-central, once a day:
--   psql -v ON_ERROR_STOP=1 -v days=400 -f retention.sql kakou
-- In pieces, so that the ingest goes on beside it. The lines of `stream`, `gap` and `gateway` stay: without
-- them the ingest would take a stream for new, and a loss would be forgotten.
\if :{?days}
\else
  \echo 'retention.sql: say how many days are kept, e.g. -v days=400'
  SELECT 1 / 0 AS "no days";
\endif
-- What a DO block reads.
SELECT set_config('kakou.days', (:'days')::int::text, false) \gset
DO $$
DECLARE
  days int := current_setting('kakou.days')::int;
  gone bigint;
BEGIN
  IF days < 1 THEN RAISE EXCEPTION 'at least a day is kept'; END IF;
  LOOP
    -- What waits behind a gap is not complete yet: it stays. So does the last event of each journal, also of a box that is
    -- gone: a trace then says that there was one, and until when it is deleted.
    DELETE FROM event WHERE ctid = ANY (ARRAY(
      SELECT e.ctid FROM event e JOIN stream s USING (site, gateway, epoch, stream)
      WHERE e.received < now() - make_interval(days => days) AND e.stream_seq < s.through LIMIT 10000));
    GET DIAGNOSTICS gone = ROW_COUNT;
    COMMIT;
    EXIT WHEN gone = 0;
  END LOOP;
  DELETE FROM refused WHERE received < now() - make_interval(days => days);
  DELETE FROM conflict WHERE received < now() - make_interval(days => days);
  -- A use that is forgotten may be used once more: it stays as long as at gateways. It names nobody.
  IF to_regclass('known.used') IS NOT NULL THEN
    DELETE FROM known.used WHERE heard < now() - make_interval(days => greatest(days, 400));
    -- What is held stays; of what was given back nobody tells for so long.
    DELETE FROM known.slot WHERE heard < now() - make_interval(days => greatest(days, 400)) AND NOT held;
    DELETE FROM known.entry WHERE heard < now() - make_interval(days => greatest(days, 30));
  END IF;
END $$;
