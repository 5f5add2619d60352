CREATE TYPE "public"."delivery_state" AS ENUM('queued', 'sent', 'delivered', 'read', 'failed', 'window_closed');--> statement-breakpoint
CREATE TYPE "public"."engine" AS ENUM('simulated', 'guided', 'openai', 'webhook');--> statement-breakpoint
CREATE TYPE "public"."message_status" AS ENUM('complete', 'queued', 'streaming', 'stopped', 'interrupted', 'failed', 'deleted');--> statement-breakpoint
CREATE TYPE "public"."origin" AS ENUM('web', 'api', 'phone', 'whatsapp');--> statement-breakpoint
CREATE TYPE "public"."role" AS ENUM('user', 'admin');--> statement-breakpoint
CREATE TYPE "public"."sender" AS ENUM('user', 'bot');--> statement-breakpoint
CREATE TYPE "public"."session_kind" AS ENUM('cookie', 'access_token', 'guest');--> statement-breakpoint
CREATE TYPE "public"."token_purpose" AS ENUM('password_reset', 'email_verification');--> statement-breakpoint
CREATE TYPE "public"."when_busy" AS ENUM('queue', 'interrupt', 'reject');--> statement-breakpoint
CREATE TABLE "chatbots" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "chatbots_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"name" text NOT NULL,
	"engine" "engine" NOT NULL,
	"settings" jsonb DEFAULT '{}'::jsonb NOT NULL,
	CONSTRAINT "chatbots_name_unique" UNIQUE("name")
);
--> statement-breakpoint
CREATE TABLE "conversation_bots" (
	"conversation_id" bigint NOT NULL,
	"chatbot_id" bigint NOT NULL,
	CONSTRAINT "conversation_bots_conversation_id_chatbot_id_pk" PRIMARY KEY("conversation_id","chatbot_id")
);
--> statement-breakpoint
CREATE TABLE "conversation_users" (
	"conversation_id" bigint NOT NULL,
	"user_id" bigint NOT NULL,
	"joined_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "conversation_users_conversation_id_user_id_pk" PRIMARY KEY("conversation_id","user_id")
);
--> statement-breakpoint
CREATE TABLE "conversations" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "conversations_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"name" text NOT NULL,
	"owner_id" bigint NOT NULL,
	"origin" "origin" DEFAULT 'web' NOT NULL,
	"state" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"is_finished" boolean DEFAULT false NOT NULL,
	"last_rev" bigint DEFAULT 0 NOT NULL,
	"when_busy" "when_busy" DEFAULT 'queue' NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"last_updated" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "identities" (
	"channel" "origin" NOT NULL,
	"address" text NOT NULL,
	"user_id" bigint NOT NULL,
	CONSTRAINT "identities_channel_address_pk" PRIMARY KEY("channel","address")
);
--> statement-breakpoint
CREATE TABLE "messages" (
	"conversation_id" bigint NOT NULL,
	"id" bigint NOT NULL,
	"rev" bigint NOT NULL,
	"sender" "sender" NOT NULL,
	"user_id" bigint,
	"chatbot_id" bigint,
	"reply_to" bigint,
	"text" text NOT NULL,
	"status" "message_status" DEFAULT 'complete' NOT NULL,
	"error" text,
	"prompt_tokens" integer,
	"completion_tokens" integer,
	"lease_owner" text,
	"lease_until" timestamp (3) with time zone,
	"client_id" text,
	"client_text_hash" text,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "messages_conversation_id_id_pk" PRIMARY KEY("conversation_id","id"),
	CONSTRAINT "messages_rev" UNIQUE("conversation_id","rev"),
	CONSTRAINT "messages_text_of_deleted" CHECK ("messages"."status" <> 'deleted' OR "messages"."text" = '')
);
--> statement-breakpoint
CREATE TABLE "one_time_tokens" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "one_time_tokens_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"purpose" "token_purpose" NOT NULL,
	"user_id" bigint NOT NULL,
	"address" text NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"used_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "sessions" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "sessions_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"user_id" bigint NOT NULL,
	"kind" "session_kind" NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"last_used_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"revoked_at" timestamp (3) with time zone,
	"user_agent" text,
	"ip" text
);
--> statement-breakpoint
CREATE TABLE "users" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "users_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"username" text,
	"username_key" text,
	"name" text,
	"email" text,
	"email_verified_at" timestamp (3) with time zone,
	"password_hash" text,
	"is_guest" boolean DEFAULT false NOT NULL,
	"phone_number" text,
	"origin" "origin" DEFAULT 'web' NOT NULL,
	"role" "role" DEFAULT 'user' NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"last_login_at" timestamp (3) with time zone,
	CONSTRAINT "users_username_key" UNIQUE("username_key")
);
--> statement-breakpoint
CREATE TABLE "whatsapp_deliveries" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "whatsapp_deliveries_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"conversation_id" bigint NOT NULL,
	"message_id" bigint NOT NULL,
	"part" smallint DEFAULT 0 NOT NULL,
	"contact" text NOT NULL,
	"whatsapp_id" text,
	"state" "delivery_state" DEFAULT 'queued' NOT NULL,
	"error" text,
	"attempts" integer DEFAULT 0 NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "whatsapp_deliveries_whatsapp_id" UNIQUE("whatsapp_id"),
	CONSTRAINT "whatsapp_deliveries_part" UNIQUE("conversation_id","message_id","part")
);
--> statement-breakpoint
CREATE TABLE "whatsapp_inbox" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "whatsapp_inbox_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"whatsapp_id" text NOT NULL,
	"contact" text,
	"body" "bytea" NOT NULL,
	"problem" text,
	"received_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"handled_at" timestamp (3) with time zone,
	CONSTRAINT "whatsapp_inbox_whatsapp_id" UNIQUE("whatsapp_id")
);
--> statement-breakpoint
ALTER TABLE "conversation_bots" ADD CONSTRAINT "conversation_bots_conversation_id_conversations_id_fk" FOREIGN KEY ("conversation_id") REFERENCES "public"."conversations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "conversation_bots" ADD CONSTRAINT "conversation_bots_chatbot_id_chatbots_id_fk" FOREIGN KEY ("chatbot_id") REFERENCES "public"."chatbots"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "conversation_users" ADD CONSTRAINT "conversation_users_conversation_id_conversations_id_fk" FOREIGN KEY ("conversation_id") REFERENCES "public"."conversations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "conversation_users" ADD CONSTRAINT "conversation_users_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "conversations" ADD CONSTRAINT "conversations_owner_id_users_id_fk" FOREIGN KEY ("owner_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "identities" ADD CONSTRAINT "identities_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "messages" ADD CONSTRAINT "messages_conversation_id_conversations_id_fk" FOREIGN KEY ("conversation_id") REFERENCES "public"."conversations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "messages" ADD CONSTRAINT "messages_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "messages" ADD CONSTRAINT "messages_chatbot_id_chatbots_id_fk" FOREIGN KEY ("chatbot_id") REFERENCES "public"."chatbots"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "one_time_tokens" ADD CONSTRAINT "one_time_tokens_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sessions" ADD CONSTRAINT "sessions_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "whatsapp_deliveries" ADD CONSTRAINT "whatsapp_deliveries_conversation_id_message_id_messages_conversation_id_id_fk" FOREIGN KEY ("conversation_id","message_id") REFERENCES "public"."messages"("conversation_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "conversation_bots_bot" ON "conversation_bots" USING btree ("chatbot_id");--> statement-breakpoint
CREATE INDEX "conversation_users_user" ON "conversation_users" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "conversations_owner" ON "conversations" USING btree ("owner_id","id");--> statement-breakpoint
CREATE UNIQUE INDEX "conversations_one_unfinished" ON "conversations" USING btree ("owner_id") WHERE "conversations"."origin" IN ('phone', 'whatsapp') AND NOT "conversations"."is_finished";--> statement-breakpoint
CREATE INDEX "identities_user" ON "identities" USING btree ("user_id");--> statement-breakpoint
CREATE UNIQUE INDEX "messages_client_id" ON "messages" USING btree ("user_id","client_id") WHERE "messages"."client_id" IS NOT NULL;--> statement-breakpoint
CREATE INDEX "messages_user" ON "messages" USING btree ("user_id") WHERE "messages"."user_id" IS NOT NULL;--> statement-breakpoint
CREATE INDEX "messages_under_way" ON "messages" USING btree ("lease_until") WHERE "messages"."status" IN ('streaming', 'queued');--> statement-breakpoint
CREATE INDEX "one_time_tokens_user" ON "one_time_tokens" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "sessions_user" ON "sessions" USING btree ("user_id");--> statement-breakpoint
CREATE UNIQUE INDEX "users_verified_email" ON "users" USING btree (lower("email")) WHERE "users"."email_verified_at" IS NOT NULL;--> statement-breakpoint
CREATE INDEX "whatsapp_deliveries_contact" ON "whatsapp_deliveries" USING btree ("contact","created_at");--> statement-breakpoint
CREATE INDEX "whatsapp_inbox_waiting" ON "whatsapp_inbox" USING btree ("contact","id") WHERE "whatsapp_inbox"."handled_at" IS NULL;--> statement-breakpoint
CREATE VIEW "public"."user_sessions" AS (
  SELECT DISTINCT ON (i.address)
    i.address AS phone_number,
    p.place -> 'answers' ->> 'name' AS user_name,
    p.place -> 'answers' ->> 'song' AS favorite_song,
    coalesce(p.place ->> 'at', 'INITIAL') AS conversation_state,
    c.last_updated AS last_interaction
  FROM identities i
  JOIN conversations c ON c.owner_id = i.user_id AND c.origin = 'phone'
  LEFT JOIN LATERAL (
    SELECT c.state -> b.id::text AS place
    FROM conversation_bots cb JOIN chatbots b ON b.id = cb.chatbot_id
    WHERE cb.conversation_id = c.id
  ) p ON true
  WHERE i.channel = 'phone'
  ORDER BY i.address, c.id DESC);