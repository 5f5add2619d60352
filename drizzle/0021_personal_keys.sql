ALTER TYPE "public"."session_kind" ADD VALUE 'personal_key';--> statement-breakpoint
ALTER TABLE "sessions" ADD COLUMN "key_hash" text;--> statement-breakpoint
CREATE UNIQUE INDEX "sessions_key_hash" ON "sessions" USING btree ("key_hash") WHERE "sessions"."key_hash" IS NOT NULL;