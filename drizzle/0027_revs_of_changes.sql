-- The new index is built before the old one goes, so that messages can be read meanwhile.
CREATE UNIQUE INDEX "messages_changed_rev" ON "messages" USING btree ("conversation_id","rev") WHERE "messages"."rev" <> "messages"."id";--> statement-breakpoint
ALTER TABLE "messages" DROP CONSTRAINT "messages_rev";--> statement-breakpoint
ALTER INDEX "messages_changed_rev" RENAME TO "messages_rev";
