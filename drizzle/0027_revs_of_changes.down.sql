DROP INDEX "messages_rev";
ALTER TABLE "messages" ADD CONSTRAINT "messages_rev" UNIQUE("conversation_id","rev");
