-- The database and who signs in to it. As postgres, with a password for each role that comes by TCP:
--   GRAFANA=… TELEGRAF=… psql -v ON_ERROR_STOP=1 -f roles.sql
-- The role of the services is called as their user: on a socket of this machine it needs no password.
\set grafana `printf %s "$GRAFANA"`
\set telegraf `printf %s "$TELEGRAF"`
SELECT :'grafana' = '' OR :'telegraf' = '' AS missing \gset
\if :missing
  \echo 'roles.sql: set GRAFANA and TELEGRAF to passwords, e.g. GRAFANA=$(openssl rand -hex 24)'
  SELECT 1 / 0 AS "no passwords";
\endif
CREATE ROLE "kakou-central" LOGIN;
CREATE ROLE grafana LOGIN PASSWORD :'grafana';
CREATE ROLE telegraf LOGIN PASSWORD :'telegraf';
CREATE DATABASE kakou OWNER "kakou-central";
\connect kakou
-- Grafana reads every table that the ingest makes, now and later, and changes none.
ALTER DEFAULT PRIVILEGES FOR ROLE "kakou-central" IN SCHEMA public GRANT SELECT ON TABLES TO grafana;
CREATE SCHEMA metrics AUTHORIZATION telegraf;
