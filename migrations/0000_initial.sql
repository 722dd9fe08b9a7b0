CREATE TABLE "arm_windows" (
	"endpoint" text NOT NULL,
	"generation" bigint NOT NULL,
	"gateway_id" text NOT NULL,
	"boot_id" text NOT NULL,
	"seq" bigint NOT NULL,
	"arm" text NOT NULL,
	"version" text NOT NULL,
	"start_at" timestamp with time zone NOT NULL,
	"end_at" timestamp with time zone NOT NULL,
	"requests" bigint NOT NULL,
	"errors" bigint NOT NULL,
	"slow" bigint NOT NULL,
	"invalid" bigint NOT NULL,
	"diverged" bigint NOT NULL,
	"pairs" bigint NOT NULL,
	"latency_micros" bigint NOT NULL,
	"received_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "arm_windows_endpoint_generation_gateway_id_boot_id_seq_arm_pk" PRIMARY KEY("endpoint","generation","gateway_id","boot_id","seq","arm"),
	CONSTRAINT "arm_windows_arm" CHECK ("arm_windows"."arm" in ('champion', 'canary', 'shadow')),
	CONSTRAINT "arm_windows_counts" CHECK (least("arm_windows"."requests", "arm_windows"."errors", "arm_windows"."slow", "arm_windows"."invalid", "arm_windows"."diverged", "arm_windows"."pairs", "arm_windows"."latency_micros") >= 0)
);
--> statement-breakpoint
CREATE TABLE "gateway_flushes" (
	"gateway_id" text NOT NULL,
	"boot_id" text NOT NULL,
	"seq" bigint NOT NULL,
	"received_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "gateway_flushes_gateway_id_boot_id_seq_pk" PRIMARY KEY("gateway_id","boot_id","seq")
);
--> statement-breakpoint
CREATE TABLE "guard_trips" (
	"gateway_id" text NOT NULL,
	"endpoint" text NOT NULL,
	"generation" bigint NOT NULL,
	"version" text NOT NULL,
	"reason" text NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"received_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "guard_trips_endpoint_generation_gateway_id_version_pk" PRIMARY KEY("endpoint","generation","gateway_id","version")
);
--> statement-breakpoint
CREATE TABLE "labels" (
	"prediction_id" text PRIMARY KEY NOT NULL,
	"label" double precision NOT NULL,
	"observed_at" timestamp with time zone NOT NULL,
	"received_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "predictions" (
	"prediction_id" text NOT NULL,
	"arm" text NOT NULL,
	"endpoint" text NOT NULL,
	"generation" bigint NOT NULL,
	"version" text NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"score" double precision,
	"decision" double precision,
	"received_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "predictions_prediction_id_arm_pk" PRIMARY KEY("prediction_id","arm"),
	CONSTRAINT "predictions_arm" CHECK ("predictions"."arm" in ('champion', 'canary', 'shadow'))
);
--> statement-breakpoint
CREATE TABLE "api_tokens" (
	"token_digest" text PRIMARY KEY NOT NULL,
	"actor" text NOT NULL,
	"role" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "api_tokens_role" CHECK ("api_tokens"."role" in ('viewer', 'engineer', 'approver', 'operator', 'admin', 'service'))
);
--> statement-breakpoint
CREATE TABLE "audit_checkpoints" (
	"stream" text NOT NULL,
	"size" bigint NOT NULL,
	"head" text NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"envelope" jsonb NOT NULL,
	CONSTRAINT "audit_checkpoints_stream_size_pk" PRIMARY KEY("stream","size")
);
--> statement-breakpoint
CREATE TABLE "audit_heads" (
	"stream" text PRIMARY KEY NOT NULL,
	"seq" bigint NOT NULL,
	"hash" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "audit_log" (
	"stream" text NOT NULL,
	"seq" bigint NOT NULL,
	"prev_hash" text NOT NULL,
	"hash" text NOT NULL,
	"actor" text NOT NULL,
	"action" text NOT NULL,
	"subject" text NOT NULL,
	"detail" jsonb NOT NULL,
	"at" timestamp with time zone NOT NULL,
	CONSTRAINT "audit_log_stream_seq_pk" PRIMARY KEY("stream","seq"),
	CONSTRAINT "audit_log_hash" UNIQUE("hash"),
	CONSTRAINT "audit_log_seq" CHECK ("audit_log"."seq" > 0)
);
--> statement-breakpoint
CREATE TABLE "aliases" (
	"model" text NOT NULL,
	"name" text NOT NULL,
	"digest" text NOT NULL,
	"generation" bigint NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "aliases_model_name_pk" PRIMARY KEY("model","name")
);
--> statement-breakpoint
CREATE TABLE "approvals" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "approvals_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"model" text NOT NULL,
	"subject_digest" text NOT NULL,
	"policy_digest" text NOT NULL,
	"evidence_digest" text NOT NULL,
	"decision" text NOT NULL,
	"approver" text NOT NULL,
	"comment" text NOT NULL,
	"decided_at" timestamp with time zone NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	"required_approvals" integer NOT NULL,
	"envelope" jsonb NOT NULL,
	"recorded_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "approvals_one_per_person" UNIQUE("subject_digest","policy_digest","evidence_digest","approver"),
	CONSTRAINT "approvals_decision" CHECK ("approvals"."decision" in ('approved', 'rejected')),
	CONSTRAINT "approvals_required" CHECK ("approvals"."required_approvals" > 0)
);
--> statement-breakpoint
CREATE TABLE "model_manifests" (
	"digest" text PRIMARY KEY NOT NULL,
	"model" text NOT NULL,
	"manifest" jsonb NOT NULL,
	"applied_by" text NOT NULL,
	"applied_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "model_versions" (
	"digest" text PRIMARY KEY NOT NULL,
	"model" text NOT NULL,
	"number" integer NOT NULL,
	"files" jsonb NOT NULL,
	"tensors" jsonb NOT NULL,
	"bundle" jsonb NOT NULL,
	"lineage" jsonb NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"registered_by" text NOT NULL,
	"registered_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "model_versions_number" UNIQUE("model","number"),
	CONSTRAINT "model_versions_number_positive" CHECK ("model_versions"."number" > 0)
);
--> statement-breakpoint
CREATE TABLE "models" (
	"name" text PRIMARY KEY NOT NULL,
	"manifest_digest" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "release_events" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "release_events_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"release_id" text NOT NULL,
	"key" text NOT NULL,
	"phase" text NOT NULL,
	"message" text NOT NULL,
	"detail" jsonb NOT NULL,
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "release_events_key" UNIQUE("release_id","key")
);
--> statement-breakpoint
CREATE TABLE "releases" (
	"id" text PRIMARY KEY NOT NULL,
	"model" text NOT NULL,
	"number" integer NOT NULL,
	"endpoint" text NOT NULL,
	"manifest_digest" text NOT NULL,
	"parameters" jsonb NOT NULL,
	"skip_shadow" boolean NOT NULL,
	"submitted_by" text NOT NULL,
	"request_key" text,
	"phase" text NOT NULL,
	"outcome" text,
	"reason" text,
	"candidate" text,
	"bootstrap" boolean NOT NULL,
	"champion" text,
	"opened_at" timestamp with time zone,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "releases_number" UNIQUE("model","number"),
	CONSTRAINT "releases_request" UNIQUE("model","request_key"),
	CONSTRAINT "releases_phase" CHECK ("releases"."phase" in ('snapshot', 'train', 'validate', 'register', 'approve', 'shadow', 'canary', 'promote', 'done')),
	CONSTRAINT "releases_outcome" CHECK ("releases"."outcome" in ('promoted', 'denied', 'rejected', 'rolled_back', 'aborted', 'failed'))
);
--> statement-breakpoint
CREATE TABLE "revocations" (
	"kind" text NOT NULL,
	"subject" text NOT NULL,
	"reason" text NOT NULL,
	"actor" text NOT NULL,
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "revocations_kind_subject_pk" PRIMARY KEY("kind","subject"),
	CONSTRAINT "revocations_kind" CHECK ("revocations"."kind" in ('version', 'key'))
);
--> statement-breakpoint
CREATE TABLE "training_results" (
	"job_digest" text PRIMARY KEY NOT NULL,
	"files" jsonb NOT NULL,
	"saved_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "acknowledgements" (
	"gateway_id" text NOT NULL,
	"endpoint" text NOT NULL,
	"generation" bigint NOT NULL,
	"versions" jsonb NOT NULL,
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "acknowledgements_gateway_id_endpoint_pk" PRIMARY KEY("gateway_id","endpoint")
);
--> statement-breakpoint
CREATE TABLE "endpoint_epochs" (
	"endpoint" text PRIMARY KEY NOT NULL,
	"epoch" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "gateways" (
	"gateway_id" text PRIMARY KEY NOT NULL,
	"url" text NOT NULL,
	"first_seen" timestamp with time zone DEFAULT now() NOT NULL,
	"last_seen" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "production_history" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "production_history_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"endpoint" text NOT NULL,
	"version" text NOT NULL,
	"generation" bigint NOT NULL,
	"during" "tstzrange" NOT NULL,
	CONSTRAINT "production_history_generation" UNIQUE("endpoint","generation")
);
--> statement-breakpoint
CREATE TABLE "route_changes" (
	"endpoint" text NOT NULL,
	"generation" bigint NOT NULL,
	"epoch" bigint NOT NULL,
	"key" text NOT NULL,
	"kind" text NOT NULL,
	"change" jsonb NOT NULL,
	"before" jsonb,
	"after" jsonb NOT NULL,
	"actor" text NOT NULL,
	"reason" text NOT NULL,
	"release_id" text,
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "route_changes_endpoint_generation_pk" PRIMARY KEY("endpoint","generation"),
	CONSTRAINT "route_changes_key" UNIQUE("key"),
	CONSTRAINT "route_changes_kind" CHECK ("route_changes"."kind" in ('bootstrap', 'prepare', 'shadow', 'canary', 'promote', 'restore', 'rollback'))
);
--> statement-breakpoint
CREATE TABLE "routes" (
	"endpoint" text PRIMARY KEY NOT NULL,
	"generation" bigint NOT NULL,
	"epoch" bigint NOT NULL,
	"champion" text NOT NULL,
	"candidate_version" text,
	"candidate_weight_bp" integer,
	"candidate_mirror_bp" integer,
	"candidate_salt" text,
	"candidate_lease_ms" integer,
	"lease_until" timestamp with time zone,
	"standby_version" text,
	"standby_until" timestamp with time zone,
	"release_id" text,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "routes_candidate_whole" CHECK (num_nulls("routes"."candidate_version", "routes"."candidate_weight_bp", "routes"."candidate_mirror_bp", "routes"."candidate_salt", "routes"."candidate_lease_ms", "routes"."lease_until") in (0, 6)),
	CONSTRAINT "routes_standby_whole" CHECK (num_nulls("routes"."standby_version", "routes"."standby_until") in (0, 2)),
	CONSTRAINT "routes_weight" CHECK ("routes"."candidate_weight_bp" between 0 and 10000),
	CONSTRAINT "routes_mirror" CHECK ("routes"."candidate_mirror_bp" between 0 and 10000),
	CONSTRAINT "routes_lease" CHECK ("routes"."candidate_lease_ms" > 0)
);
--> statement-breakpoint
ALTER TABLE "aliases" ADD CONSTRAINT "aliases_model_models_name_fk" FOREIGN KEY ("model") REFERENCES "public"."models"("name") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "aliases" ADD CONSTRAINT "aliases_digest_model_versions_digest_fk" FOREIGN KEY ("digest") REFERENCES "public"."model_versions"("digest") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "approvals" ADD CONSTRAINT "approvals_subject_digest_model_versions_digest_fk" FOREIGN KEY ("subject_digest") REFERENCES "public"."model_versions"("digest") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "model_versions" ADD CONSTRAINT "model_versions_model_models_name_fk" FOREIGN KEY ("model") REFERENCES "public"."models"("name") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "models" ADD CONSTRAINT "models_manifest_digest_model_manifests_digest_fk" FOREIGN KEY ("manifest_digest") REFERENCES "public"."model_manifests"("digest") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "release_events" ADD CONSTRAINT "release_events_release_id_releases_id_fk" FOREIGN KEY ("release_id") REFERENCES "public"."releases"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "releases" ADD CONSTRAINT "releases_model_models_name_fk" FOREIGN KEY ("model") REFERENCES "public"."models"("name") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "releases" ADD CONSTRAINT "releases_manifest_digest_model_manifests_digest_fk" FOREIGN KEY ("manifest_digest") REFERENCES "public"."model_manifests"("digest") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "acknowledgements" ADD CONSTRAINT "acknowledgements_gateway_id_gateways_gateway_id_fk" FOREIGN KEY ("gateway_id") REFERENCES "public"."gateways"("gateway_id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "production_history" ADD CONSTRAINT "production_history_version_model_versions_digest_fk" FOREIGN KEY ("version") REFERENCES "public"."model_versions"("digest") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "routes" ADD CONSTRAINT "routes_champion_model_versions_digest_fk" FOREIGN KEY ("champion") REFERENCES "public"."model_versions"("digest") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "routes" ADD CONSTRAINT "routes_candidate_version_model_versions_digest_fk" FOREIGN KEY ("candidate_version") REFERENCES "public"."model_versions"("digest") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "routes" ADD CONSTRAINT "routes_standby_version_model_versions_digest_fk" FOREIGN KEY ("standby_version") REFERENCES "public"."model_versions"("digest") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "arm_windows_newest" ON "arm_windows" USING btree ("endpoint","generation","gateway_id","received_at");--> statement-breakpoint
CREATE INDEX "predictions_by_generation" ON "predictions" USING btree ("endpoint","generation");--> statement-breakpoint
CREATE INDEX "audit_log_newest" ON "audit_log" USING btree ("at");--> statement-breakpoint
CREATE INDEX "model_manifests_by_model" ON "model_manifests" USING btree ("model","applied_at");--> statement-breakpoint
CREATE INDEX "releases_newest" ON "releases" USING btree ("created_at");--> statement-breakpoint
CREATE INDEX "acknowledgements_by_endpoint" ON "acknowledgements" USING btree ("endpoint");