ALTER TABLE "one_time_tokens" ALTER COLUMN "user_id" DROP NOT NULL;--> statement-breakpoint
-- Stops the replies to a user's messages, in all conversations: asks the writers of those that are being written, and stops
-- those that wait. Replies to others in the same conversations go on. Gives the conversations, whose locks it takes by id.
CREATE FUNCTION stop_replies_to (in_author bigint) RETURNS SETOF bigint
LANGUAGE plpgsql AS $$
DECLARE
  place bigint;
BEGIN
  FOR place IN
    SELECT DISTINCT r.conversation_id FROM messages r JOIN messages q ON q.conversation_id = r.conversation_id AND q.id = r.reply_to
    WHERE r.status IN ('streaming', 'queued') AND q.user_id = in_author ORDER BY 1
  LOOP
    PERFORM FROM conversations c WHERE c.id = place FOR NO KEY UPDATE;
    UPDATE messages r SET stop_requested = true FROM messages q
    WHERE r.conversation_id = place AND r.status = 'streaming' AND q.conversation_id = place AND q.id = r.reply_to AND q.user_id = in_author;
    UPDATE messages r SET status = 'stopped', rev = next_rev(place) FROM messages q
    WHERE r.conversation_id = place AND r.status = 'queued' AND q.conversation_id = place AND q.id = r.reply_to AND q.user_id = in_author;
    RETURN NEXT place;
  END LOOP;
END $$;
