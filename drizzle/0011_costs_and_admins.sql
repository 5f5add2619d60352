CREATE TABLE "admin_log" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "admin_log_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"admin_id" bigint NOT NULL,
	"admin_name" text,
	"action" text NOT NULL,
	"user_id" bigint,
	"details" jsonb DEFAULT '{}'::jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "invitations" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "invitations_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"secret_hash" text NOT NULL,
	"created_by" bigint,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"used_at" timestamp (3) with time zone,
	"used_by" bigint,
	CONSTRAINT "invitations_secret_hash" UNIQUE("secret_hash")
);
--> statement-breakpoint
CREATE TABLE "reply_costs" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "reply_costs_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"user_id" bigint,
	"api_key_hash" text,
	"conversation_id" bigint,
	"message_id" bigint,
	"bot_name" text,
	"model" text,
	"status" "message_status" NOT NULL,
	"prompt_tokens" integer NOT NULL,
	"completion_tokens" integer NOT NULL,
	"is_estimate" boolean DEFAULT false NOT NULL
);
--> statement-breakpoint
ALTER TABLE "users" ADD COLUMN "locked_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "users" ADD COLUMN "budget_tokens" integer;--> statement-breakpoint
ALTER TABLE "users" ADD COLUMN "api_key_hash" text;--> statement-breakpoint
ALTER TABLE "invitations" ADD CONSTRAINT "invitations_created_by_users_id_fk" FOREIGN KEY ("created_by") REFERENCES "public"."users"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "invitations" ADD CONSTRAINT "invitations_used_by_users_id_fk" FOREIGN KEY ("used_by") REFERENCES "public"."users"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "reply_costs" ADD CONSTRAINT "reply_costs_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "reply_costs_user" ON "reply_costs" USING btree ("user_id","created_at");--> statement-breakpoint
CREATE INDEX "reply_costs_api_key" ON "reply_costs" USING btree ("api_key_hash","created_at") WHERE "reply_costs"."api_key_hash" IS NOT NULL;--> statement-breakpoint
CREATE INDEX "reply_costs_created" ON "reply_costs" USING btree ("created_at");--> statement-breakpoint
CREATE INDEX "one_time_tokens_address" ON "one_time_tokens" USING btree (lower("address"),"created_at");--> statement-breakpoint
-- The log of what admins did is only ever added to. Raises insufficient_privilege (42501) for every UPDATE and DELETE.
CREATE FUNCTION refuse_change () RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'rows of % can neither be changed nor deleted', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
--> statement-breakpoint
CREATE TRIGGER admin_log_is_append_only BEFORE UPDATE OR DELETE ON admin_log FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
--> statement-breakpoint
-- Costs that were kept with the messages until now. Which model it was is not known any more.
INSERT INTO reply_costs (created_at, user_id, conversation_id, message_id, bot_name, status, prompt_tokens, completion_tokens)
SELECT r.created_at, q.user_id, r.conversation_id, r.id, b.name, r.status, r.prompt_tokens, r.completion_tokens
FROM messages r
JOIN messages q ON q.conversation_id = r.conversation_id AND q.id = r.reply_to
LEFT JOIN chatbots b ON b.id = r.chatbot_id
WHERE r.prompt_tokens IS NOT NULL AND r.completion_tokens IS NOT NULL;
