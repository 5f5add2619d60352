ALTER TABLE "messages" ADD COLUMN "agent_name" text;--> statement-breakpoint
ALTER TABLE "messages" ADD COLUMN "server_key_id" bigint;--> statement-breakpoint
ALTER TABLE "users" ADD COLUMN "metadata" json DEFAULT '{}'::json NOT NULL;--> statement-breakpoint
ALTER TABLE "messages" ADD CONSTRAINT "messages_server_key_id_server_keys_id_fk" FOREIGN KEY ("server_key_id") REFERENCES "public"."server_keys"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "messages_key_client_id" ON "messages" USING btree ("server_key_id","client_id") WHERE "messages"."server_key_id" IS NOT NULL;