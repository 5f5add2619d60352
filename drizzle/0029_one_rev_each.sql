-- stop_replies: stops all replies in a conversation. A reply that is streaming is marked, and the server instance that
-- writes it stops when it next stores something. A reply that is queued becomes stopped at once and takes a rev.
--
-- Locks: the replies. The caller must have locked the conversation.
-- Returns: nothing.
-- Raises: nothing.
-- Called by: append_message and stop_conversation.
CREATE OR REPLACE FUNCTION stop_replies (in_conversation bigint) RETURNS void
LANGUAGE sql AS $$
  UPDATE messages SET stop_requested = true WHERE conversation_id = in_conversation AND status = 'streaming';
  SELECT FROM messages WHERE conversation_id = in_conversation AND status = 'queued' FOR NO KEY UPDATE;
  UPDATE messages m SET status = 'stopped', rev = next_rev(in_conversation)
  WHERE m.conversation_id = in_conversation AND m.status = 'queued'
$$;

-- begin_reply: begins the oldest queued reply of a conversation, unless another one is streaming there.
-- The reply becomes streaming, with the next rev and a lease of 8 seconds for in_owner.
--
-- Locks: the conversation; then the reply.
-- Returns: one row with the reply's id and its bot; no row when there is nothing to begin.
-- Raises: nothing.
-- Called by: `createReplyStore`.
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
  PERFORM FROM messages m WHERE m.conversation_id = in_conversation AND m.id = place FOR NO KEY UPDATE;
  RETURN QUERY
  UPDATE messages m SET status = 'streaming', rev = next_rev(in_conversation), stop_requested = false,
    lease_owner = in_owner, lease_until = clock_timestamp() + interval '8 seconds'
  WHERE m.conversation_id = in_conversation AND m.id = place
  RETURNING m.id, m.chatbot_id;
END $$;

-- finish_reply: ends a reply and records what it cost, in one statement.
--
-- If the message is still streaming and in_owner still holds its lease, the message gets in_status, the next rev and
-- in_error, its text becomes its first in_at characters followed by in_piece, and its parts become in_parts. in_state
-- becomes the bot's state in the conversation (JSON null removes it, SQL null leaves it unchanged), and in_finished becomes is_finished (null leaves it
-- unchanged), unless the bot has been taken out of the conversation (see is_contact_origin). A conversation
-- of somebody who is known by an address alone does not become unfinished while its owner has another unfinished one.
-- If the lease is lost or the message is gone, the conversation does not change. The cost (see record_cost) is recorded
-- in any case. A second call with the same arguments, after a lost connection, changes nothing.
--
-- Locks: the conversation; then the message; then, for the cost, the user who asked (FOR KEY SHARE).
-- Returns: one row: whether the reply was ended, and the tokens that were added to the costs, 0 where there were none.
-- Raises: nothing.
-- Called by: `createReplyStore`, by the server instance that writes the reply.
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
  SELECT m.chatbot_id INTO bot FROM messages m
  WHERE m.conversation_id = in_conversation AND m.id = in_id AND m.status = 'streaming' AND m.lease_owner = in_owner
  FOR NO KEY UPDATE;
  is_ours := FOUND;
  IF is_ours THEN
    UPDATE messages m SET status = in_status, rev = next_rev(in_conversation), text = left(m.text, in_at) || in_piece, parts = in_parts,
      error = in_error, cost_so_far = NULL, lease_owner = NULL, lease_until = NULL
    WHERE m.conversation_id = in_conversation AND m.id = in_id;
  END IF;
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

-- interrupt_reply: ends a reply whose writer died, which shows by its expired lease. The text stored so far stays, and so do its parts.
--
-- A reply that was to stop becomes stopped, any other one interrupted. If its writer had stored what the reply cost so
-- far, that is recorded. The tokens of the text are estimated, at four characters to a token, where nothing better was
-- stored. Nothing happens when the lease has been renewed meanwhile or another server instance came first.
--
-- Locks: the conversation; then the message; then, for the cost, the user who asked (FOR KEY SHARE).
-- Returns: the bot's name and the tokens that were added to the costs; no row where there were none.
-- Raises: nothing.
-- Called by: `createReplyStore`, by any server instance, for every expired lease that it finds.
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
  WHERE m.conversation_id = in_conversation AND m.id = in_id AND m.status = 'streaming' AND m.lease_until < clock_timestamp()
  FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  becomes := CASE WHEN lapsed.stop_requested THEN 'stopped' ELSE 'interrupted' END;
  UPDATE messages m SET status = becomes, rev = next_rev(in_conversation), cost_so_far = NULL, lease_owner = NULL, lease_until = NULL
  WHERE m.conversation_id = in_conversation AND m.id = in_id;
  RETURN QUERY SELECT r.* FROM record_cost(in_conversation, in_id, lapsed.lease_owner, becomes,
    jsonb_build_object('completion_tokens', ceil(char_length(lapsed.text) / 4.0)) || lapsed.cost_so_far) r;
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

-- stop_replies_to: stops the replies to a user's messages, in all conversations, as stop_replies does. Replies to others
-- in the same conversations go on.
--
-- Locks: the conversations, in the order of their ids, each with the replies in it.
-- Returns: the ids of the conversations.
-- Raises: nothing.
-- Called by: `createReplyStore`.
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
    PERFORM FROM messages r, messages q
    WHERE r.conversation_id = place AND r.status = 'queued' AND q.conversation_id = place AND q.id = r.reply_to AND q.user_id = in_author
    FOR NO KEY UPDATE OF r;
    UPDATE messages r SET status = 'stopped', rev = next_rev(place) FROM messages q
    WHERE r.conversation_id = place AND r.status = 'queued' AND q.conversation_id = place AND q.id = r.reply_to AND q.user_id = in_author;
    RETURN NEXT place;
  END LOOP;
END $$;
