CREATE TABLE "experiment_snapshots" (
	"endpoint" text NOT NULL,
	"experiment" text NOT NULL,
	"version" integer NOT NULL,
	"clock" bigint NOT NULL,
	"shares_bp" jsonb NOT NULL,
	"state" jsonb NOT NULL,
	"arms" jsonb NOT NULL,
	"late" bigint NOT NULL,
	"invalid" bigint NOT NULL,
	"at" timestamp with time zone NOT NULL,
	CONSTRAINT "experiment_snapshots_endpoint_experiment_version_pk" PRIMARY KEY("endpoint","experiment","version"),
	CONSTRAINT "experiment_snapshots_version" CHECK ("experiment_snapshots"."version" > 0)
);
--> statement-breakpoint
CREATE TABLE "experiments" (
	"endpoint" text NOT NULL,
	"name" text NOT NULL,
	"plan" jsonb NOT NULL,
	"arms" jsonb NOT NULL,
	"run_id" text NOT NULL,
	"generation" bigint NOT NULL,
	"outcome" text,
	"reason" text,
	"winner" text,
	"started_by" text NOT NULL,
	"started_at" timestamp with time zone DEFAULT now() NOT NULL,
	"ended_at" timestamp with time zone,
	CONSTRAINT "experiments_endpoint_name_pk" PRIMARY KEY("endpoint","name"),
	CONSTRAINT "experiments_outcome" CHECK ("experiments"."outcome" in ('winner', 'futility', 'invalid', 'expired', 'stopped', 'interrupted', 'failed')),
	CONSTRAINT "experiments_ended" CHECK (num_nulls("experiments"."outcome", "experiments"."reason", "experiments"."ended_at") in (0, 3))
);
--> statement-breakpoint
CREATE TABLE "reward_counts" (
	"prediction_id" text PRIMARY KEY NOT NULL,
	"endpoint" text NOT NULL,
	"experiment" text NOT NULL,
	"snapshot" integer NOT NULL,
	"verdict" text NOT NULL,
	"arm" text NOT NULL,
	"decided_by" integer,
	"reward" double precision NOT NULL,
	CONSTRAINT "reward_counts_verdict" CHECK ("reward_counts"."verdict" in ('counted', 'late', 'invalid'))
);
--> statement-breakpoint
CREATE TABLE "reward_repeats" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "reward_repeats_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"prediction_id" text NOT NULL,
	"reward" double precision NOT NULL,
	"conflicting" integer NOT NULL,
	"received_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "rewards" (
	"prediction_id" text PRIMARY KEY NOT NULL,
	"reward" double precision NOT NULL,
	"observed_at" timestamp with time zone NOT NULL,
	"received_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "rewards_range" CHECK ("rewards"."reward" between 0 and 1)
);
--> statement-breakpoint
ALTER TABLE "arm_windows" DROP CONSTRAINT "arm_windows_arm";--> statement-breakpoint
ALTER TABLE "predictions" DROP CONSTRAINT "predictions_arm";--> statement-breakpoint
ALTER TABLE "route_changes" DROP CONSTRAINT "route_changes_kind";--> statement-breakpoint
ALTER TABLE "routes" DROP CONSTRAINT "routes_candidate_whole";--> statement-breakpoint
ALTER TABLE "predictions" ADD COLUMN "experiment" text;--> statement-breakpoint
ALTER TABLE "predictions" ADD COLUMN "propensity" double precision;--> statement-breakpoint
ALTER TABLE "predictions" ADD COLUMN "snapshot" integer;--> statement-breakpoint
ALTER TABLE "predictions" ADD COLUMN "context" jsonb;--> statement-breakpoint
ALTER TABLE "routes" ADD COLUMN "experiment" jsonb;--> statement-breakpoint
CREATE INDEX "reward_repeats_prediction" ON "reward_repeats" USING btree ("prediction_id");--> statement-breakpoint
CREATE INDEX "rewards_received" ON "rewards" USING btree ("received_at");--> statement-breakpoint
CREATE INDEX "predictions_of_experiment" ON "predictions" USING btree ("endpoint","experiment","received_at") WHERE "predictions"."experiment" is not null;--> statement-breakpoint
CREATE INDEX "predictions_by_window" ON "predictions" USING btree ("endpoint","experiment","at") WHERE "predictions"."experiment" is not null;--> statement-breakpoint
ALTER TABLE "arm_windows" ADD CONSTRAINT "arm_windows_arm" CHECK ("arm_windows"."arm" in ('champion', 'canary', 'shadow') or "arm_windows"."arm" like 'exp:%');--> statement-breakpoint
ALTER TABLE "predictions" ADD CONSTRAINT "predictions_experiment" CHECK (("predictions"."experiment" is null) = ("predictions"."propensity" is null));--> statement-breakpoint
ALTER TABLE "predictions" ADD CONSTRAINT "predictions_propensity" CHECK ("predictions"."propensity" > 0 and "predictions"."propensity" <= 1);--> statement-breakpoint
ALTER TABLE "predictions" ADD CONSTRAINT "predictions_arm" CHECK ("predictions"."arm" in ('champion', 'canary', 'shadow') or "predictions"."arm" like 'exp:%');--> statement-breakpoint
ALTER TABLE "route_changes" ADD CONSTRAINT "route_changes_kind" CHECK ("route_changes"."kind" in ('bootstrap', 'prepare', 'shadow', 'canary', 'promote', 'experiment', 'restore', 'rollback'));--> statement-breakpoint
ALTER TABLE "routes" ADD CONSTRAINT "routes_one_trial" CHECK ("routes"."candidate_version" is null or "routes"."experiment" is null);--> statement-breakpoint
ALTER TABLE "routes" ADD CONSTRAINT "routes_leased" CHECK (("routes"."lease_until" is not null) = ("routes"."candidate_version" is not null or "routes"."experiment" is not null));--> statement-breakpoint
ALTER TABLE "routes" ADD CONSTRAINT "routes_experiment_lease" CHECK (("routes"."experiment" ->> 'leaseMs')::float8 > 0);--> statement-breakpoint
ALTER TABLE "routes" ADD CONSTRAINT "routes_candidate_whole" CHECK (num_nulls("routes"."candidate_version", "routes"."candidate_weight_bp", "routes"."candidate_mirror_bp", "routes"."candidate_salt", "routes"."candidate_lease_ms") in (0, 5));--> statement-breakpoint
-- Written by hand, like 0001_integrity.sql: what drizzle cannot express.
DO $$
DECLARE t text;
BEGIN
  EXECUTE 'CREATE TRIGGER experiment_snapshots_insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON experiment_snapshots
    FOR EACH STATEMENT EXECUTE FUNCTION slipway_refuse()';
  -- Measurements: never changed, but deleted when their time is over.
  FOREACH t IN ARRAY ARRAY['rewards', 'reward_counts', 'reward_repeats']
  LOOP
    EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE ON %I
      FOR EACH STATEMENT EXECUTE FUNCTION slipway_refuse()', t || '_no_update', t);
  END LOOP;
  EXECUTE 'CREATE TRIGGER experiments_no_delete BEFORE DELETE OR TRUNCATE ON experiments
    FOR EACH STATEMENT EXECUTE FUNCTION slipway_refuse()';
END $$;
--> statement-breakpoint
-- What an experiment was declared as stays; it ends once.
CREATE FUNCTION "slipway_same_experiment"() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF OLD.outcome IS NULL
    AND (NEW.endpoint, NEW.name, NEW.plan, NEW.arms, NEW.generation, NEW.run_id, NEW.started_by, NEW.started_at)
      IS NOT DISTINCT FROM
      (OLD.endpoint, OLD.name, OLD.plan, OLD.arms, OLD.generation, OLD.run_id, OLD.started_by, OLD.started_at)
  THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'experiments: what %/% was declared as, and how it ended, cannot be changed', OLD.endpoint, OLD.name
    USING ERRCODE = 'SW001';
END $$;
--> statement-breakpoint
CREATE TRIGGER "experiments_bound" BEFORE UPDATE ON "experiments"
  FOR EACH ROW EXECUTE FUNCTION "slipway_same_experiment"();
