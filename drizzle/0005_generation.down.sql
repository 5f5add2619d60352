DROP FUNCTION stop_conversation, restart_reply, interrupt_reply, finish_reply, begin_reply, stop_replies, next_rev, append_message, replies_under_way;
DROP INDEX messages_under_way;
ALTER TABLE messages DROP COLUMN stop_requested;
CREATE INDEX messages_under_way ON messages USING btree (lease_until) WHERE status IN ('streaming', 'queued');
CREATE FUNCTION append_message (
  in_conversation bigint, in_author bigint, in_text text, in_client_id text, in_client_text_hash text,
  in_bots bigint[], in_replies text[], in_old_state jsonb, in_new_state jsonb, in_finished boolean
) RETURNS TABLE (id bigint, created_at timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
  place bigint;
  moment timestamptz(3);
BEGIN
  PERFORM FROM conversations c WHERE c.id = in_conversation FOR NO KEY UPDATE;
  UPDATE conversations c
  SET last_rev = c.last_rev + 1 + cardinality(in_bots), state = in_new_state, is_finished = in_finished,
      last_updated = clock_timestamp()
  WHERE c.id = in_conversation AND c.state = in_old_state
    AND EXISTS (SELECT FROM conversation_users u WHERE u.conversation_id = c.id AND u.user_id = in_author)
    AND (c.origin IN ('phone', 'whatsapp') OR cardinality(in_bots) =
      (SELECT count(*) FROM conversation_bots b WHERE b.conversation_id = c.id AND b.chatbot_id = ANY (in_bots)))
  RETURNING c.last_rev - cardinality(in_bots), c.last_updated INTO place, moment;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  INSERT INTO messages (conversation_id, id, rev, sender, user_id, chatbot_id, reply_to, text, client_id,
                        client_text_hash, created_at)
  SELECT in_conversation, place, place, 'user'::sender, in_author, NULL, NULL, in_text, in_client_id,
         in_client_text_hash, moment
  UNION ALL
  SELECT in_conversation, place + r.nth, place + r.nth, 'bot'::sender, NULL, r.bot, place, r.reply, NULL, NULL, moment
  FROM unnest(in_bots, in_replies) WITH ORDINALITY AS r (bot, reply, nth);
  RETURN QUERY SELECT place, moment;
END $$;
