-- In the order in which queries take them: all new migrations run in one transaction, and a later one changes conversation_users.
LOCK TABLE conversation_users, messages IN ACCESS EXCLUSIVE MODE;
--> statement-breakpoint
ALTER TABLE "messages" ADD COLUMN "parts" json;--> statement-breakpoint
ALTER TABLE "messages" ADD COLUMN "metadata" json;--> statement-breakpoint
-- Without compression, pg_column_size tells the length of the JSON without reading it, by which pages are measured.
ALTER TABLE messages ALTER COLUMN parts SET STORAGE EXTERNAL, ALTER COLUMN metadata SET STORAGE EXTERNAL;
--> statement-breakpoint
-- The new parameters have defaults, so that servers of the version before can go on during an update.
DROP FUNCTION append_message (bigint, bigint, text, text, text, bigint[], text[], jsonb, jsonb, boolean, text);
--> statement-breakpoint
-- append_message: stores one message of a user and the replies of the bots, or nothing.
--
-- in_bots and in_replies are parallel. A reply that is null is not known yet. The first such reply is stored as streaming,
-- with a lease of 8 seconds for in_owner. The others are stored as queued, and so is the first one when another reply is
-- under way in the conversation or in_owner is null. The message takes the next rev of the conversation as its id and its
-- rev; the replies take those after it, in their order. in_new_state and in_finished become the conversation's.
-- in_metadata and in_parts belong to the user's message.
-- If a reply is under way and one of the new replies is null, the conversation's when_busy decides: the new reply waits
-- (queue), the other one is stopped (interrupt), or the message is refused (reject).
--
-- Nothing is stored, and no rev is taken, when in_author is not in the conversation, when one of the bots has been taken
-- out of it (see is_contact_origin), or when its state is not in_old_state any more, to which the bots replied. The caller
-- then reads the conversation and asks the bots again. The same holds when one of the replies is null and the author has
-- used in_client_id before.
--
-- append_messages repeats these rules, because a shared function would make this one take 1.5 times as long. Change both:
-- test/db/functions.test.ts gives both the same generated cases and compares what they store.
--
-- Locks: the conversation; then, when one of the replies is null, the author's user row.
-- Returns: one row with the message's id, its time, and the statuses of the message and of the replies; no row when
-- nothing was stored.
-- Raises: PB001 when the conversation rejects messages while a reply is under way; PB002 when three replies to the author's
-- messages are under way already; 23505 on messages_client_id when the author has used in_client_id before.
-- Called by: `createAppendStore`, for a message with a reply that is null, for one that could not be stored together with
-- others, and for the first message of a conversation.
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
  SET last_rev = c.last_rev + 1 + cardinality(in_bots), state = in_new_state, is_finished = in_finished,
      last_updated = clock_timestamp()
  WHERE c.id = in_conversation AND c.state = in_old_state
    AND EXISTS (SELECT FROM conversation_users u WHERE u.conversation_id = c.id AND u.user_id = in_author)
    AND (is_contact_origin(c.origin) OR cardinality(in_bots) =
      (SELECT count(*) FROM conversation_bots b WHERE b.conversation_id = c.id AND b.chatbot_id = ANY (in_bots)))
  RETURNING c.last_rev - cardinality(in_bots), c.last_updated INTO place, moment;
  IF NOT FOUND THEN
    RETURN;
  END IF;
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
--> statement-breakpoint
DROP FUNCTION append_messages (bigint[], bigint[], text[], text[], text[], jsonb[], jsonb[], boolean[], integer[], bigint[], text[]);
--> statement-breakpoint
-- append_messages: stores messages of users, one in each of several conversations, with the replies of the bots.
--
-- in_reply_to, in_bots and in_replies are parallel, with one element for each reply. in_reply_to is the number of the
-- message that the reply answers, counted from 1; replies to one message are in the order of their ids. No reply may be
-- null. The other arrays are parallel, too, with one element for each message. No two messages may be in one conversation.
-- Each message follows the rules of append_message. The time of all of them is the same.
--
-- Locks: the conversations, in the order of their ids. A conversation that another transaction has locked is skipped
-- (SKIP LOCKED). Waiting for it would hold up all conversations that this call has locked already.
-- Returns: a row for each message that was stored, with its conversation, id and time; a row without an id and a time for
-- each conversation that was skipped; no row for a message that may not be stored.
-- Raises: 23505 on messages_client_id when an author has used the client id before. Then no message is stored.
-- Called by: `createAppendStore`.
CREATE OR REPLACE FUNCTION append_messages (
  in_conversations bigint[], in_authors bigint[], in_texts text[], in_client_ids text[], in_client_text_hashes text[],
  in_old_states jsonb[], in_new_states jsonb[], in_finished boolean[], in_reply_to integer[], in_bots bigint[], in_replies text[],
  in_metadata json[] DEFAULT NULL, in_parts json[] DEFAULT NULL
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
    SELECT * FROM unnest(in_conversations, in_authors, in_texts, in_client_ids, in_client_text_hashes, in_old_states, in_new_states, in_finished,
      in_metadata, in_parts)
      WITH ORDINALITY AS a (conversation, author, text, client_id, client_text_hash, old_state, new_state, finished, metadata, parts, nth)
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
      AND (is_contact_origin(c.origin) OR w.answers =
        (SELECT count(*) FROM conversation_bots b WHERE b.conversation_id = c.id AND b.chatbot_id = ANY (w.bots)))
    RETURNING w.nth, c.id AS conversation, c.last_rev - w.answers AS place
  ), stored AS (
    INSERT INTO messages (conversation_id, id, rev, sender, user_id, chatbot_id, reply_to, text, client_id, client_text_hash, created_at, metadata, parts)
    SELECT t.conversation, t.place, t.place, 'user'::sender, a.author, NULL, NULL, a.text, a.client_id, a.client_text_hash, moment, a.metadata, a.parts
    FROM taken t JOIN asked a ON a.nth = t.nth
    UNION ALL
    SELECT t.conversation, t.place + r.place, t.place + r.place, 'bot'::sender, NULL, r.bot, t.place, r.reply, NULL, NULL, moment, NULL, NULL
    FROM taken t JOIN answers r ON r.nth = t.nth
  )
  SELECT t.conversation, t.place, moment::timestamptz FROM taken t
  UNION ALL
  SELECT a.conversation, NULL, NULL FROM asked a WHERE a.conversation <> ALL (locked);
END $$;
--> statement-breakpoint
DROP FUNCTION finish_reply (bigint, bigint, text, message_status, integer, text, text, jsonb, boolean, jsonb);
--> statement-breakpoint
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
-- Locks: the conversation; then, for the cost, the user who asked (FOR KEY SHARE).
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
--> statement-breakpoint
-- restart_reply: generates the last reply again, in the same message.
--
-- in_bot is the bot of that reply if the caller knows that it streams its replies, else null. The message loses its text,
-- its parts and its error, takes the next rev and becomes streaming, with a lease of 8 seconds for in_owner, or queued when in_owner
-- is null.
--
-- Locks: the conversation; then the user who wrote the message that the reply answers, so that replies begun elsewhere at
-- the same moment are counted.
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
