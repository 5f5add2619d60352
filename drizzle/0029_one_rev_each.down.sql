CREATE OR REPLACE FUNCTION stop_replies (in_conversation bigint) RETURNS void
LANGUAGE sql AS $$
  UPDATE messages SET stop_requested = true WHERE conversation_id = in_conversation AND status = 'streaming';
  UPDATE messages m SET status = 'stopped', rev = next_rev(in_conversation)
  WHERE m.conversation_id = in_conversation AND m.status = 'queued'
$$;

CREATE OR REPLACE FUNCTION begin_reply (in_conversation bigint, in_owner text) RETURNS TABLE (id bigint, chatbot_id bigint)
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

CREATE OR REPLACE FUNCTION finish_reply (
  in_conversation bigint, in_id bigint, in_owner text, in_status message_status, in_at integer, in_piece text, in_error text,
  in_state jsonb, in_finished boolean, in_cost jsonb, in_parts json DEFAULT NULL
) RETURNS TABLE (finished boolean, prompt_tokens integer, completion_tokens integer)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  bot bigint;
  is_ours boolean;
  cost record;
BEGIN
  PERFORM FROM conversations c WHERE c.id = in_conversation FOR NO KEY UPDATE;
  UPDATE messages m SET status = in_status, rev = next_rev(in_conversation), text = left(m.text, in_at) || in_piece, parts = in_parts,
    error = in_error, cost_so_far = NULL, lease_owner = NULL, lease_until = NULL
  WHERE m.conversation_id = in_conversation AND m.id = in_id AND m.status = 'streaming' AND m.lease_owner = in_owner
  RETURNING m.chatbot_id INTO bot;
  is_ours := FOUND;
  IF bot IS NOT NULL AND (in_state IS NOT NULL OR in_finished IS NOT NULL) THEN
    UPDATE conversations c
    SET state = CASE WHEN in_state IS NULL THEN c.state WHEN in_state = 'null' THEN c.state - bot::text
        ELSE c.state || jsonb_build_object(bot::text, in_state) END,
      is_finished = CASE WHEN NOT in_finished AND is_contact_origin(c.origin) AND EXISTS (
          SELECT FROM conversations o WHERE o.owner_id = c.owner_id AND is_contact_origin(o.origin) AND NOT o.is_finished AND o.id <> c.id
        ) THEN c.is_finished ELSE coalesce(in_finished, c.is_finished) END
    WHERE c.id = in_conversation AND (is_contact_origin(c.origin)
      OR EXISTS (SELECT FROM conversation_bots b WHERE b.conversation_id = c.id AND b.chatbot_id = bot));
  END IF;
  SELECT * INTO cost FROM record_cost(in_conversation, in_id, in_owner, in_status, in_cost);
  RETURN QUERY SELECT is_ours, coalesce(cost.prompt_tokens, 0), coalesce(cost.completion_tokens, 0);
END $$;

CREATE OR REPLACE FUNCTION interrupt_reply (in_conversation bigint, in_id bigint)
RETURNS TABLE (bot text, prompt_tokens integer, completion_tokens integer)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  lapsed messages;
  becomes message_status;
BEGIN
  PERFORM FROM conversations c WHERE c.id = in_conversation FOR NO KEY UPDATE;
  SELECT * INTO lapsed FROM messages m
  WHERE m.conversation_id = in_conversation AND m.id = in_id AND m.status = 'streaming' AND m.lease_until < clock_timestamp();
  IF NOT FOUND THEN
    RETURN;
  END IF;
  becomes := CASE WHEN lapsed.stop_requested THEN 'stopped' ELSE 'interrupted' END;
  UPDATE messages m SET status = becomes, rev = next_rev(in_conversation), cost_so_far = NULL, lease_owner = NULL, lease_until = NULL
  WHERE m.conversation_id = in_conversation AND m.id = in_id;
  RETURN QUERY SELECT r.* FROM record_cost(in_conversation, in_id, lapsed.lease_owner, becomes,
    jsonb_build_object('completion_tokens', ceil(char_length(lapsed.text) / 4.0)) || lapsed.cost_so_far) r;
END $$;

CREATE OR REPLACE FUNCTION restart_reply (in_conversation bigint, in_user bigint, in_id bigint, in_owner text, in_bot bigint) RETURNS text
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

CREATE OR REPLACE FUNCTION stop_replies_to (in_author bigint) RETURNS SETOF bigint
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
