DROP INDEX "messages_under_way";--> statement-breakpoint
ALTER TABLE "messages" ADD COLUMN "stop_requested" boolean DEFAULT false NOT NULL;--> statement-breakpoint
CREATE INDEX "messages_under_way" ON "messages" USING btree ("conversation_id","id") WHERE "messages"."status" IN ('streaming', 'queued');--> statement-breakpoint
-- Takes the next rev of a conversation, whose lock the caller holds.
CREATE FUNCTION next_rev (in_conversation bigint) RETURNS bigint
LANGUAGE sql AS $$
  UPDATE conversations SET last_rev = last_rev + 1 WHERE id = in_conversation RETURNING last_rev
$$;
--> statement-breakpoint
-- Asks whoever writes a reply here to stop, and stops those that wait; the caller holds the conversation's lock.
CREATE FUNCTION stop_replies (in_conversation bigint) RETURNS void
LANGUAGE sql AS $$
  UPDATE messages SET stop_requested = true WHERE conversation_id = in_conversation AND status = 'streaming';
  UPDATE messages m SET status = 'stopped', rev = next_rev(in_conversation)
  WHERE m.conversation_id = in_conversation AND m.status = 'queued'
$$;
--> statement-breakpoint
-- How many replies to somebody's messages are being written or wait, without those that are about to stop.
CREATE FUNCTION replies_under_way (in_author bigint) RETURNS bigint
LANGUAGE sql AS $$
  SELECT count(*) FROM messages r JOIN messages q ON q.conversation_id = r.conversation_id AND q.id = r.reply_to
  WHERE r.status IN ('streaming', 'queued') AND NOT r.stop_requested AND q.user_id = in_author
$$;
--> statement-breakpoint
DROP FUNCTION append_message;
--> statement-breakpoint
-- As before; a reply that is null takes its time: it is begun here, by the owner of its lease, or waits behind another
-- one, or for want of an owner. SQLSTATE PB001: the conversation rejects a message while one is under way; PB002: three
-- replies to this author are under way already.
CREATE FUNCTION append_message (
  in_conversation bigint, in_author bigint, in_text text, in_client_id text, in_client_text_hash text,
  in_bots bigint[], in_replies text[], in_old_state jsonb, in_new_state jsonb, in_finished boolean, in_owner text
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
    -- So that of several conversations at once each counts the replies of the others.
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
  RETURN QUERY
  WITH stored AS (
    INSERT INTO messages AS m (conversation_id, id, rev, sender, user_id, chatbot_id, reply_to, text, status, lease_owner,
                               lease_until, client_id, client_text_hash, created_at)
    SELECT in_conversation, place, place, 'user'::sender, in_author, NULL, NULL, in_text, 'complete'::message_status, NULL,
           NULL::timestamptz, in_client_id, in_client_text_hash, moment
    UNION ALL
    SELECT in_conversation, place + r.nth, place + r.nth, 'bot'::sender, NULL, r.bot, place, coalesce(r.reply, ''),
           CASE WHEN r.reply IS NOT NULL THEN 'complete' WHEN r.nth = first_slow THEN 'streaming' ELSE 'queued' END::message_status,
           CASE WHEN r.nth = first_slow THEN in_owner END,
           CASE WHEN r.nth = first_slow THEN clock_timestamp() + interval '8 seconds' END, NULL, NULL, moment
    FROM unnest(in_bots, in_replies) WITH ORDINALITY AS r (bot, reply, nth)
    RETURNING m.id, m.status
  )
  SELECT place, moment::timestamptz, array_agg(s.status::text ORDER BY s.id) FROM stored s;
END $$;
--> statement-breakpoint
-- Begins the reply of a conversation that has waited longest, unless one is under way; nothing where there is none.
CREATE FUNCTION begin_reply (in_conversation bigint, in_owner text) RETURNS TABLE (id bigint, chatbot_id bigint)
LANGUAGE plpgsql AS $$
DECLARE
  place bigint;
BEGIN
  PERFORM FROM conversations c WHERE c.id = in_conversation FOR NO KEY UPDATE;
  SELECT min(m.id) INTO place FROM messages m WHERE m.conversation_id = in_conversation AND m.status = 'queued'
    AND NOT EXISTS (SELECT FROM messages s WHERE s.conversation_id = in_conversation AND s.status = 'streaming');
  IF place IS NULL THEN
    RETURN;
  END IF;
  RETURN QUERY
  UPDATE messages m SET status = 'streaming', rev = next_rev(in_conversation), stop_requested = false,
    lease_owner = in_owner, lease_until = clock_timestamp() + interval '8 seconds'
  WHERE m.conversation_id = in_conversation AND m.id = place
  RETURNING m.id, m.chatbot_id;
END $$;
--> statement-breakpoint
-- Ends a reply, if its lease is still the owner's: what came last is put behind the first characters that are there.
CREATE FUNCTION finish_reply (
  in_conversation bigint, in_id bigint, in_owner text, in_status message_status, in_at integer, in_piece text, in_error text,
  in_prompt_tokens integer, in_completion_tokens integer
) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM conversations c WHERE c.id = in_conversation FOR NO KEY UPDATE;
  PERFORM FROM messages m WHERE m.conversation_id = in_conversation AND m.id = in_id AND m.status = 'streaming' AND m.lease_owner = in_owner;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE messages m SET status = in_status, rev = next_rev(in_conversation), text = left(m.text, in_at) || in_piece, error = in_error,
    prompt_tokens = in_prompt_tokens, completion_tokens = in_completion_tokens, lease_owner = NULL, lease_until = NULL
  WHERE m.conversation_id = in_conversation AND m.id = in_id;
  RETURN true;
END $$;
--> statement-breakpoint
-- Marks a reply whose lease has lapsed: what it had said stays.
CREATE FUNCTION interrupt_reply (in_conversation bigint, in_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM conversations c WHERE c.id = in_conversation FOR NO KEY UPDATE;
  PERFORM FROM messages m WHERE m.conversation_id = in_conversation AND m.id = in_id AND m.status = 'streaming' AND m.lease_until < clock_timestamp();
  IF FOUND THEN
    UPDATE messages m SET status = CASE WHEN m.stop_requested THEN 'stopped' ELSE 'interrupted' END::message_status,
      rev = next_rev(in_conversation), lease_owner = NULL, lease_until = NULL
    WHERE m.conversation_id = in_conversation AND m.id = in_id;
  END IF;
END $$;
--> statement-breakpoint
-- Asks again, in the row of the last reply: of a bot that is still there, to a message that nothing but replies follow.
-- Gives what became of it: the status, or why not; null to who is not in the conversation or where no such reply is.
CREATE FUNCTION restart_reply (in_conversation bigint, in_user bigint, in_id bigint, in_owner text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  question bigint;
  author bigint;
  becomes message_status;
BEGIN
  PERFORM FROM conversations c WHERE c.id = in_conversation FOR NO KEY UPDATE;
  SELECT m.reply_to INTO question FROM messages m JOIN conversation_users u ON u.conversation_id = m.conversation_id
  WHERE m.conversation_id = in_conversation AND m.id = in_id AND u.user_id = in_user AND m.sender = 'bot' AND m.status <> 'deleted';
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  IF EXISTS (SELECT FROM messages m WHERE m.conversation_id = in_conversation AND m.status IN ('streaming', 'queued')) THEN
    RETURN 'busy';
  END IF;
  IF question IS NULL OR NOT EXISTS (
    SELECT FROM messages m JOIN chatbots b ON b.id = m.chatbot_id
    JOIN conversation_bots cb ON cb.conversation_id = m.conversation_id AND cb.chatbot_id = b.id
    WHERE m.conversation_id = in_conversation AND m.id = in_id AND b.engine IN ('openai', 'webhook')
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
  UPDATE messages m SET status = becomes, rev = next_rev(in_conversation), text = '', error = NULL, prompt_tokens = NULL,
    completion_tokens = NULL, stop_requested = false, lease_owner = in_owner,
    lease_until = CASE WHEN in_owner IS NOT NULL THEN clock_timestamp() + interval '8 seconds' END
  WHERE m.conversation_id = in_conversation AND m.id = in_id;
  RETURN becomes;
END $$;
--> statement-breakpoint
-- Stops the replies of a conversation, for somebody who is in it.
CREATE FUNCTION stop_conversation (in_conversation bigint, in_user bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM conversations c WHERE c.id = in_conversation FOR NO KEY UPDATE;
  IF NOT EXISTS (SELECT FROM conversation_users u WHERE u.conversation_id = in_conversation AND u.user_id = in_user) THEN
    RETURN false;
  END IF;
  PERFORM stop_replies(in_conversation);
  RETURN true;
END $$;
