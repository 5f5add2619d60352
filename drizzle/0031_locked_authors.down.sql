-- append_message: stores one message of a user and the replies of the bots, or nothing.
--
-- in_bots and in_replies are parallel. A reply that is null is not known yet. The first such reply is stored as streaming,
-- with a lease of 8 seconds for in_owner. The others are stored as queued, and so is the first one when another reply is
-- under way in the conversation or in_owner is null. The message takes the next rev of the conversation as its id and its
-- rev; the replies take those after it, in their order. in_new_state and in_finished become the conversation's. When in_finished
-- is null, is_finished stays as it is, even if a reply has changed it since the caller read the conversation. The author has then
-- read everything up to the message.
-- in_metadata and in_parts belong to the user's message.
-- If a reply is under way and one of the new replies is null, the conversation's when_busy decides: the new reply waits
-- (queue), the other one is stopped (interrupt), or the message is refused (reject).
--
-- Nothing is stored, and no rev is taken, when in_author is not in the conversation, when one of the bots has been deleted
-- or taken out of it (see is_contact_origin), or when its state is not in_old_state any more, to which the bots replied. The caller
-- then reads the conversation and asks the bots again. The same holds when one of the replies is null and the author has
-- used in_client_id before.
--
-- append_messages repeats these rules, because a shared function would make this one take 1.5 times as long. Change both:
-- test/db/functions.test.ts gives both the same generated cases and compares what they store.
--
-- Locks: the conversation; then the bots, against deletion; then, when one of the replies is null, the author's user row, and
-- the replies that are stopped; then the author's row of conversation_users.
-- Returns: one row with the message's id, its time, and the statuses of the message and of the replies; no row when
-- nothing was stored.
-- Raises: PB001 when the conversation rejects messages while a reply is under way; PB002 when three replies to the author's
-- messages are under way already; 23505 on messages_client_id when the author has used in_client_id before.
-- Called by: `createAppendStore`, for a message with a reply that is null, for one that could not be stored together with
-- others, and for a first message on its own.
CREATE OR REPLACE FUNCTION append_message (
  in_conversation bigint, in_author bigint, in_text text, in_client_id text, in_client_text_hash text,
  in_bots bigint[], in_replies text[], in_old_state jsonb, in_new_state jsonb, in_finished boolean, in_owner text,
  in_metadata json DEFAULT NULL, in_parts json DEFAULT NULL
) RETURNS TABLE (id bigint, created_at timestamptz, statuses text[])
LANGUAGE plpgsql AS $$
DECLARE
  place bigint;
  moment timestamptz(3);
  policy when_busy;
  first_slow integer := array_position(in_replies, NULL);
  is_busy boolean;
BEGIN
  PERFORM FROM conversations c WHERE c.id = in_conversation FOR NO KEY UPDATE;
  PERFORM keep_bots(in_bots);
  IF first_slow IS NOT NULL THEN
    SELECT c.when_busy INTO policy FROM conversations c
    WHERE c.id = in_conversation AND c.state = in_old_state
      AND EXISTS (SELECT FROM conversation_users u WHERE u.conversation_id = c.id AND u.user_id = in_author);
    IF NOT FOUND THEN
      RETURN;
    END IF;
    IF EXISTS (SELECT FROM messages m WHERE m.user_id = in_author AND m.client_id = in_client_id) THEN
      RETURN;
    END IF;
    -- Replies that this author begins in other conversations at the same moment wait here, and are counted.
    PERFORM FROM users u WHERE u.id = in_author FOR NO KEY UPDATE;
    is_busy := EXISTS (SELECT FROM messages m WHERE m.conversation_id = in_conversation AND m.status IN ('streaming', 'queued'));
    IF is_busy AND policy = 'reject' THEN
      RAISE EXCEPTION 'a reply is under way' USING ERRCODE = 'PB001';
    ELSIF is_busy AND policy = 'interrupt' THEN
      PERFORM stop_replies(in_conversation);
    END IF;
    IF replies_under_way(in_author) >= 3 THEN
      RAISE EXCEPTION 'three replies are under way' USING ERRCODE = 'PB002';
    END IF;
    IF is_busy OR in_owner IS NULL THEN
      first_slow := 0;
    END IF;
  END IF;
  UPDATE conversations c
  SET last_rev = c.last_rev + 1 + cardinality(in_bots), state = in_new_state, is_finished = coalesce(in_finished, c.is_finished),
      last_updated = clock_timestamp()
  WHERE c.id = in_conversation AND c.state = in_old_state
    AND EXISTS (SELECT FROM conversation_users u WHERE u.conversation_id = c.id AND u.user_id = in_author)
    AND cardinality(in_bots) = CASE WHEN is_contact_origin(c.origin)
      THEN (SELECT count(*) FROM chatbots b WHERE b.id = ANY (in_bots))
      ELSE (SELECT count(*) FROM conversation_bots b WHERE b.conversation_id = c.id AND b.chatbot_id = ANY (in_bots)) END
  RETURNING c.last_rev - cardinality(in_bots), c.last_updated INTO place, moment;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  UPDATE conversation_users u SET read_rev = place WHERE u.conversation_id = in_conversation AND u.user_id = in_author;
  RETURN QUERY
  WITH stored AS (
    INSERT INTO messages AS m (conversation_id, id, rev, sender, user_id, chatbot_id, reply_to, text, status, lease_owner,
                               lease_until, client_id, client_text_hash, created_at, metadata, parts)
    SELECT in_conversation, place, place, 'user'::sender, in_author, NULL, NULL, in_text, 'complete'::message_status, NULL,
           NULL::timestamptz, in_client_id, in_client_text_hash, moment, in_metadata, in_parts
    UNION ALL
    SELECT in_conversation, place + r.nth, place + r.nth, 'bot'::sender, NULL, r.bot, place, coalesce(r.reply, ''),
           CASE WHEN r.reply IS NOT NULL THEN 'complete' WHEN r.nth = first_slow THEN 'streaming' ELSE 'queued' END::message_status,
           CASE WHEN r.nth = first_slow THEN in_owner END,
           CASE WHEN r.nth = first_slow THEN clock_timestamp() + interval '8 seconds' END, NULL, NULL, moment, NULL, NULL
    FROM unnest(in_bots, in_replies) WITH ORDINALITY AS r (bot, reply, nth)
    RETURNING m.id, m.status
  )
  SELECT place, moment::timestamptz, array_agg(s.status::text ORDER BY s.id) FROM stored s;
END $$;

-- restart_reply: generates the last reply again, in the same message.
--
-- in_bot is the bot of that reply if the caller knows that it streams its replies, else null. The message loses its text,
-- its parts and its error, takes the next rev and becomes streaming, with a lease of 8 seconds for in_owner, or queued when in_owner
-- is null.
--
-- Locks: the conversation; then the reply; then the user who wrote the message that the reply answers, so that replies begun
-- elsewhere at the same moment are counted.
-- Returns: 'streaming' or 'queued', or why nothing happened: null when in_user is not in the conversation or there is no
-- such reply; 'busy' while a reply is under way there; 'not last' when other messages follow, it answers no message, or
-- in_bot is not its bot or has been taken out of the conversation (see is_contact_origin); 'too many' when three replies
-- to the author of the message are under way.
-- Raises: nothing.
-- Called by: `createReplyStore`.
CREATE OR REPLACE FUNCTION restart_reply (in_conversation bigint, in_user bigint, in_id bigint, in_owner text, in_bot bigint) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  question bigint;
  author bigint;
  becomes message_status;
BEGIN
  PERFORM FROM conversations c WHERE c.id = in_conversation FOR NO KEY UPDATE;
  SELECT m.reply_to INTO question FROM messages m JOIN conversation_users u ON u.conversation_id = m.conversation_id
  WHERE m.conversation_id = in_conversation AND m.id = in_id AND u.user_id = in_user AND m.sender = 'bot' AND m.status <> 'deleted'
  FOR NO KEY UPDATE OF m;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  IF EXISTS (SELECT FROM messages m WHERE m.conversation_id = in_conversation AND m.status IN ('streaming', 'queued')) THEN
    RETURN 'busy';
  END IF;
  IF question IS NULL OR NOT EXISTS (
    SELECT FROM messages m JOIN conversations c ON c.id = m.conversation_id
    WHERE m.conversation_id = in_conversation AND m.id = in_id AND m.chatbot_id = in_bot AND (is_contact_origin(c.origin)
      OR EXISTS (SELECT FROM conversation_bots b WHERE b.conversation_id = c.id AND b.chatbot_id = in_bot))
  ) OR EXISTS (
    SELECT FROM messages m
    WHERE m.conversation_id = in_conversation AND m.id > in_id AND m.status <> 'deleted' AND m.reply_to IS DISTINCT FROM question
  ) THEN
    RETURN 'not last';
  END IF;
  SELECT m.user_id INTO author FROM messages m WHERE m.conversation_id = in_conversation AND m.id = question;
  PERFORM FROM users u WHERE u.id = author FOR NO KEY UPDATE;
  IF replies_under_way(author) >= 3 THEN
    RETURN 'too many';
  END IF;
  becomes := CASE WHEN in_owner IS NULL THEN 'queued' ELSE 'streaming' END;
  UPDATE messages m SET status = becomes, rev = next_rev(in_conversation), text = '', parts = NULL, error = NULL, cost_so_far = NULL,
    stop_requested = false, lease_owner = in_owner,
    lease_until = CASE WHEN in_owner IS NOT NULL THEN clock_timestamp() + interval '8 seconds' END
  WHERE m.conversation_id = in_conversation AND m.id = in_id;
  RETURN becomes;
END $$;
