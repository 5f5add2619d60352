ALTER TYPE "public"."session_kind" ADD VALUE 'issuer';--> statement-breakpoint
CREATE TABLE "external_sessions" (
	"key" text PRIMARY KEY NOT NULL,
	"session_id" bigint,
	"ends_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "external_users" (
	"issuer" text NOT NULL,
	"subject" text NOT NULL,
	"user_id" bigint NOT NULL,
	CONSTRAINT "external_users_issuer_subject_pk" PRIMARY KEY("issuer","subject")
);
--> statement-breakpoint
ALTER TABLE "users" ADD COLUMN "picture" text;--> statement-breakpoint
ALTER TABLE "external_sessions" ADD CONSTRAINT "external_sessions_session_id_sessions_id_fk" FOREIGN KEY ("session_id") REFERENCES "public"."sessions"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "external_users" ADD CONSTRAINT "external_users_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "external_sessions_session" ON "external_sessions" USING btree ("session_id");--> statement-breakpoint
CREATE INDEX "external_sessions_ends" ON "external_sessions" USING btree ("ends_at");--> statement-breakpoint
CREATE UNIQUE INDEX "external_users_user" ON "external_users" USING btree ("user_id");