-- Many messages, one to each conversation, whose replies are all there, in one statement. It does what append_message
-- does for each, and gives a row for each that was stored. A conversation whose lock somebody else holds is left out, so
-- that nobody waits for it with the others' locks in hand: its row has no id, and its message is for append_message. What
-- breaks a constraint refuses all.
CREATE FUNCTION append_messages (
  in_conversations bigint[], in_authors bigint[], in_texts text[], in_client_ids text[], in_client_text_hashes text[],
  in_old_states jsonb[], in_new_states jsonb[], in_finished boolean[], in_reply_to integer[], in_bots bigint[], in_replies text[]
) RETURNS TABLE (conversation bigint, id bigint, created_at timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  locked bigint[];
  moment timestamptz(3);
BEGIN
  locked := array(SELECT c.id FROM conversations c WHERE c.id = ANY (in_conversations) ORDER BY c.id FOR NO KEY UPDATE SKIP LOCKED);
  moment := clock_timestamp();
  RETURN QUERY
  WITH asked AS (
    SELECT * FROM unnest(in_conversations, in_authors, in_texts, in_client_ids, in_client_text_hashes, in_old_states, in_new_states, in_finished)
      WITH ORDINALITY AS a (conversation, author, text, client_id, client_text_hash, old_state, new_state, finished, nth)
  ), answers AS (
    SELECT r.reply_to AS nth, r.bot, r.reply, row_number() OVER (PARTITION BY r.reply_to ORDER BY r.ord) AS place
    FROM unnest(in_reply_to, in_bots, in_replies) WITH ORDINALITY AS r (reply_to, bot, reply, ord)
  ), counted AS (
    SELECT a.nth, count(*) AS answers, array_agg(a.bot) AS bots FROM answers a GROUP BY a.nth
  ), whole AS (
    SELECT a.*, coalesce(k.answers, 0) AS answers, k.bots FROM asked a LEFT JOIN counted k ON k.nth = a.nth
  ), taken AS (
    UPDATE conversations c
    SET last_rev = c.last_rev + 1 + w.answers, state = w.new_state, is_finished = w.finished, last_updated = moment
    FROM whole w
    WHERE c.id = w.conversation AND c.id = ANY (locked) AND c.state = w.old_state
      AND EXISTS (SELECT FROM conversation_users u WHERE u.conversation_id = c.id AND u.user_id = w.author)
      AND (c.origin IN ('phone', 'whatsapp') OR w.answers =
        (SELECT count(*) FROM conversation_bots b WHERE b.conversation_id = c.id AND b.chatbot_id = ANY (w.bots)))
    RETURNING w.nth, c.id AS conversation, c.last_rev - w.answers AS place
  ), stored AS (
    INSERT INTO messages (conversation_id, id, rev, sender, user_id, chatbot_id, reply_to, text, client_id, client_text_hash, created_at)
    SELECT t.conversation, t.place, t.place, 'user'::sender, a.author, NULL, NULL, a.text, a.client_id, a.client_text_hash, moment
    FROM taken t JOIN asked a ON a.nth = t.nth
    UNION ALL
    SELECT t.conversation, t.place + r.place, t.place + r.place, 'bot'::sender, NULL, r.bot, t.place, r.reply, NULL, NULL, moment
    FROM taken t JOIN answers r ON r.nth = t.nth
  )
  SELECT t.conversation, t.place, moment::timestamptz FROM taken t
  UNION ALL
  SELECT a.conversation, NULL, NULL FROM asked a WHERE a.conversation <> ALL (locked);
END $$;
