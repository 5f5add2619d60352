DROP FUNCTION finish_reply, interrupt_reply, restart_reply, record_cost;
UPDATE chatbots SET settings = settings - 'description';
ALTER TABLE reply_costs DROP COLUMN attempt;
ALTER TABLE messages DROP COLUMN cost_so_far, ADD COLUMN prompt_tokens integer, ADD COLUMN completion_tokens integer;
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
