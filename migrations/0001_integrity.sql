-- What drizzle cannot express: one champion at any instant, and records that nobody can rewrite.
-- SQLSTATE SW001 is Slipway's own: "insert-only" (error code IMMUTABLE).

CREATE EXTENSION IF NOT EXISTS btree_gist;
--> statement-breakpoint
ALTER TABLE "production_history"
  ADD CONSTRAINT "production_history_one_champion" EXCLUDE USING gist ("endpoint" WITH =, "during" WITH &&),
  ADD CONSTRAINT "production_history_during" CHECK (NOT isempty("during") AND NOT lower_inf("during"));
--> statement-breakpoint
ALTER TABLE "model_manifests" ADD CONSTRAINT "model_manifests_digest" CHECK ("digest" ~ '^sha256:[0-9a-f]{64}$');
--> statement-breakpoint
ALTER TABLE "model_versions" ADD CONSTRAINT "model_versions_digest" CHECK ("digest" ~ '^sha256:[0-9a-f]{64}$');
--> statement-breakpoint
ALTER TABLE "audit_log" ADD CONSTRAINT "audit_log_hashes"
  CHECK ("hash" ~ '^sha256:[0-9a-f]{64}$' AND "prev_hash" ~ '^sha256:[0-9a-f]{64}$');
--> statement-breakpoint
CREATE FUNCTION "slipway_refuse"() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  RAISE EXCEPTION '% refuses %', TG_TABLE_NAME, lower(TG_OP)
    USING ERRCODE = 'SW001', TABLE = TG_TABLE_NAME, HINT = 'Insert a new record instead.';
END $$;
--> statement-breakpoint
-- Statement triggers, so that also a statement that meets no row is refused: a wrong statement never looks harmless.
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['model_manifests', 'model_versions', 'approvals', 'revocations', 'training_results',
    'release_events', 'route_changes', 'guard_trips', 'audit_log', 'audit_checkpoints']
  LOOP
    EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
      FOR EACH STATEMENT EXECUTE FUNCTION slipway_refuse()', t || '_insert_only', t);
  END LOOP;
  -- Measurements and tokens: never changed, but deleted when their time is over.
  FOREACH t IN ARRAY ARRAY['gateway_flushes', 'arm_windows', 'predictions', 'labels', 'api_tokens']
  LOOP
    EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE ON %I
      FOR EACH STATEMENT EXECUTE FUNCTION slipway_refuse()', t || '_no_update', t);
  END LOOP;
  -- Present state that is changed under the rules below, but never taken away.
  FOREACH t IN ARRAY ARRAY['models', 'aliases', 'routes', 'endpoint_epochs', 'production_history', 'releases', 'audit_heads']
  LOOP
    EXECUTE format('CREATE TRIGGER %I BEFORE DELETE OR TRUNCATE ON %I
      FOR EACH STATEMENT EXECUTE FUNCTION slipway_refuse()', t || '_no_delete', t);
  END LOOP;
END $$;
--> statement-breakpoint
CREATE FUNCTION "slipway_close_history"() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF upper_inf(OLD.during) AND NOT upper_inf(NEW.during)
    AND lower(NEW.during) = lower(OLD.during) AND lower_inc(NEW.during) AND NOT upper_inc(NEW.during)
    AND (NEW.id, NEW.endpoint, NEW.version, NEW.generation) = (OLD.id, OLD.endpoint, OLD.version, OLD.generation)
  THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'production_history: only the end of the open row may be set' USING ERRCODE = 'SW001';
END $$;
--> statement-breakpoint
CREATE TRIGGER "production_history_close_only" BEFORE UPDATE ON "production_history"
  FOR EACH ROW EXECUTE FUNCTION "slipway_close_history"();
--> statement-breakpoint
-- The last line of defence of compare-and-set: also a writer that forgets its WHERE clause cannot go back.
CREATE FUNCTION "slipway_next_route"() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF NEW.endpoint = OLD.endpoint AND NEW.generation = OLD.generation + 1 AND NEW.epoch >= OLD.epoch THEN
    RETURN NEW;
  END IF;
  -- A renewed lease is the one change within a generation.
  IF NEW.lease_until >= OLD.lease_until AND to_jsonb(NEW) - 'lease_until' = to_jsonb(OLD) - 'lease_until' THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'routes: % is at generation %, epoch %; refused generation %, epoch %',
    OLD.endpoint, OLD.generation, OLD.epoch, NEW.generation, NEW.epoch USING ERRCODE = 'SW001';
END $$;
--> statement-breakpoint
CREATE TRIGGER "routes_next_only" BEFORE UPDATE ON "routes"
  FOR EACH ROW EXECUTE FUNCTION "slipway_next_route"();
--> statement-breakpoint
CREATE FUNCTION "slipway_next_alias"() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF (NEW.model, NEW.name) = (OLD.model, OLD.name) AND NEW.generation = OLD.generation + 1 THEN RETURN NEW; END IF;
  RAISE EXCEPTION 'aliases: %/% is at generation %, refused generation %',
    OLD.model, OLD.name, OLD.generation, NEW.generation USING ERRCODE = 'SW001';
END $$;
--> statement-breakpoint
CREATE TRIGGER "aliases_next_only" BEFORE UPDATE ON "aliases"
  FOR EACH ROW EXECUTE FUNCTION "slipway_next_alias"();
--> statement-breakpoint
CREATE FUNCTION "slipway_rise"() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF NEW.endpoint = OLD.endpoint AND NEW.epoch >= OLD.epoch THEN RETURN NEW; END IF;
  RAISE EXCEPTION 'endpoint_epochs: an epoch never falls' USING ERRCODE = 'SW001';
END $$;
--> statement-breakpoint
CREATE TRIGGER "endpoint_epochs_rise_only" BEFORE UPDATE ON "endpoint_epochs"
  FOR EACH ROW EXECUTE FUNCTION "slipway_rise"();
--> statement-breakpoint
CREATE FUNCTION "slipway_next_head"() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF NEW.stream = OLD.stream AND NEW.seq = OLD.seq + 1 THEN RETURN NEW; END IF;
  RAISE EXCEPTION 'audit_heads: a stream grows by one row at a time' USING ERRCODE = 'SW001';
END $$;
--> statement-breakpoint
CREATE TRIGGER "audit_heads_next_only" BEFORE UPDATE ON "audit_heads"
  FOR EACH ROW EXECUTE FUNCTION "slipway_next_head"();
--> statement-breakpoint
-- What a release was asked for, and by whom, is what its approvers judge.
CREATE FUNCTION "slipway_same_release"() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF (NEW.id, NEW.model, NEW.number, NEW.endpoint, NEW.manifest_digest, NEW.parameters, NEW.skip_shadow,
      NEW.submitted_by, NEW.created_at) IS NOT DISTINCT FROM
     (OLD.id, OLD.model, OLD.number, OLD.endpoint, OLD.manifest_digest, OLD.parameters, OLD.skip_shadow,
      OLD.submitted_by, OLD.created_at)
    AND NEW.request_key IS NOT DISTINCT FROM OLD.request_key
    AND (OLD.opened_at IS NULL OR (NEW.opened_at = OLD.opened_at AND NEW.bootstrap = OLD.bootstrap
      AND NEW.champion IS NOT DISTINCT FROM OLD.champion))
  THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'releases: what release % was bound to cannot be changed', OLD.id USING ERRCODE = 'SW001';
END $$;
--> statement-breakpoint
CREATE TRIGGER "releases_bound" BEFORE UPDATE ON "releases"
  FOR EACH ROW EXECUTE FUNCTION "slipway_same_release"();
