CREATE TYPE "public"."inbox_kind" AS ENUM('message', 'status', 'unknown');--> statement-breakpoint
CREATE TABLE "turns" (
	"key" text PRIMARY KEY NOT NULL,
	"job" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "whatsapp_contacts" (
	"contact" text PRIMARY KEY NOT NULL,
	"phone" text,
	"last_message_at" timestamp (3) with time zone
);
--> statement-breakpoint
DROP INDEX "whatsapp_deliveries_contact";--> statement-breakpoint
DROP INDEX "whatsapp_inbox_waiting";--> statement-breakpoint
ALTER TABLE "whatsapp_deliveries" ADD COLUMN "error_code" integer;--> statement-breakpoint
ALTER TABLE "whatsapp_deliveries" ADD COLUMN "queued_at" timestamp (3) with time zone DEFAULT now() NOT NULL;--> statement-breakpoint
ALTER TABLE "whatsapp_deliveries" ADD COLUMN "try_at" timestamp (3) with time zone DEFAULT now() NOT NULL;--> statement-breakpoint
ALTER TABLE "whatsapp_deliveries" ADD COLUMN "attempted_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "whatsapp_deliveries" ADD COLUMN "doubted_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "whatsapp_inbox" ADD COLUMN "kind" "inbox_kind" NOT NULL;--> statement-breakpoint
ALTER TABLE "whatsapp_inbox" ADD COLUMN "sent_at" timestamp (3) with time zone NOT NULL;--> statement-breakpoint
ALTER TABLE "whatsapp_inbox" ADD COLUMN "together_with" bigint;--> statement-breakpoint
CREATE INDEX "whatsapp_deliveries_queued" ON "whatsapp_deliveries" USING btree ("contact","id") WHERE "whatsapp_deliveries"."state" = 'queued';--> statement-breakpoint
CREATE INDEX "whatsapp_inbox_statuses" ON "whatsapp_inbox" USING btree ("contact","sent_at") WHERE "whatsapp_inbox"."kind" = 'status';--> statement-breakpoint
CREATE INDEX "whatsapp_deliveries_contact" ON "whatsapp_deliveries" USING btree ("contact","id");--> statement-breakpoint
CREATE INDEX "whatsapp_inbox_waiting" ON "whatsapp_inbox" USING btree ("contact","sent_at","id") WHERE "whatsapp_inbox"."handled_at" IS NULL;--> statement-breakpoint
-- On WhatsApp a conversation that was quiet for 12 hours is finished by the beginning of the next one, so that both
-- happen or none does.
CREATE OR REPLACE FUNCTION begin_conversation (in_owner bigint, in_origin origin, in_name text, in_bot bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  conversation bigint;
BEGIN
  UPDATE conversations SET is_finished = true
  WHERE owner_id = in_owner AND origin = 'whatsapp' AND in_origin = 'whatsapp' AND NOT is_finished
    AND last_updated <= now() - interval '12 hours';
  INSERT INTO conversations (owner_id, origin, name) VALUES (in_owner, in_origin, in_name)
  ON CONFLICT DO NOTHING
  RETURNING id INTO conversation;
  IF FOUND THEN
    INSERT INTO conversation_users (conversation_id, user_id) VALUES (conversation, in_owner);
    INSERT INTO conversation_bots (conversation_id, chatbot_id) VALUES (conversation, in_bot);
  END IF;
  RETURN conversation;
END $$;
--> statement-breakpoint
-- Gives a job the turn of a key; false when it is another's that is under way. What is under way is asked under the
-- lock, in a snapshot of its own. A job whose worker died is unlocked by another worker, and loses its turn with that.
CREATE FUNCTION take_turn (in_key text, in_job bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  LOOP
    INSERT INTO turns (key, job) VALUES (in_key, in_job) ON CONFLICT DO NOTHING;
    IF FOUND THEN
      RETURN true;
    END IF;
    PERFORM FROM turns t WHERE t.key = in_key FOR UPDATE;
    EXIT WHEN FOUND;
  END LOOP;
  UPDATE turns t SET job = in_job
  WHERE t.key = in_key AND (t.job = in_job
    OR NOT EXISTS (SELECT FROM graphile_worker.jobs j WHERE j.id = t.job AND j.locked_at IS NOT NULL));
  RETURN FOUND;
END $$;
