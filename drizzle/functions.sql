-- Every function, trigger and view of the database, as the newest migration leaves it.
--
-- This file is documentation: the migrations create the database, and nothing runs this file. It has the current version
-- of each function, so that a reader need not search the migrations for it. To change a function, change it here first and
-- copy it, with its header, into a new migration. test/db/functions.test.ts fails when a function here differs from that of
-- a migrated database. It also checks that each header has the four paragraphs below, and that the callers in it exist.
--
--   Locks: the row and advisory locks, in the order in which they are taken. They are held until the transaction ends.
--     Every function takes a conversation's lock before a user's, and several conversations' in the order of their ids,
--     so that no two transactions wait for each other. The lock on a conversation is FOR NO KEY UPDATE on its row. Every
--     change of a conversation's messages happens under it. The rows to which a new row's foreign keys refer are locked, too,
--     FOR KEY SHARE, which conflicts only with deleting them. A header names these locks only where something depends on them.
--   Returns: the result.
--   Raises: the SQLSTATEs that the function raises on purpose, or that its callers handle.
--   Called by: the function or store in src/ that calls it, or the SQL function, trigger or index that uses it.
--
-- Parameters are called in_…, so that they are never mistaken for columns. src/ passes two or more of them by name.


-- ------------------------------------------------------------
-- Channels
-- ------------------------------------------------------------

-- is_contact_origin: whether people who come through this channel are known only by an address, such as a phone number or
-- a WhatsApp contact, and have no account. This is the only list of those channels in SQL; CONTACT_ORIGINS in src/enums.ts is
-- the same list for TypeScript, and a test compares the two.
--
-- Such a person has one unfinished conversation at a time. Its bot is found by its name, so that bots are neither added
-- nor taken out there. PostgreSQL inlines the function into the queries that use it.
-- The unique index conversations_one_unfinished depends on it, which has two consequences when a channel is added to the
-- list. There must be no conversations of that channel yet, or the index has to be built again. And since all new
-- migrations run in one transaction, in which a value that was just added to the enum cannot be used, replace the
-- function under SET LOCAL check_function_bodies = off.
--
-- Locks: nothing.
-- Returns: true or false; null for null.
-- Raises: nothing.
-- Called by: append_message, append_messages, finish_reply, restart_reply, the index conversations_one_unfinished,
-- `createLog`, `createTidyStore` and `forgetInConversations`.
CREATE OR REPLACE FUNCTION is_contact_origin (in_origin origin) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT in_origin IN ('phone', 'whatsapp')
$$;

-- is_conversation_over: whether a conversation has ended because nothing was said in it for too long, so that the next
-- message begins another one. Only conversations on WhatsApp end like this, after 12 hours.
--
-- Locks: nothing.
-- Returns: true or false.
-- Raises: nothing.
-- Called by: begin_conversation, `createLog` and `announce`.
CREATE OR REPLACE FUNCTION is_conversation_over (in_origin origin, in_last_updated timestamptz) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT in_origin = 'whatsapp' AND in_last_updated <= now() - interval '12 hours'
$$;


-- ------------------------------------------------------------
-- The log: adding messages
-- ------------------------------------------------------------

-- next_rev: takes the next rev of a conversation.
--
-- An UPDATE that has to wait for a row computes its new values once more when the wait is over, and would take two revs. So a
-- caller also locks the messages that it is going to change, in a statement of its own. The instance that writes a reply changes
-- its row without the lock of the conversation, and so does the deletion of a bot or of a user.
--
-- Locks: no further row. The caller must have locked the conversation and the messages that get the revs.
-- Returns: the rev; null when there is no such conversation.
-- Raises: nothing.
-- Called by: stop_replies, stop_replies_to, begin_reply, finish_reply, interrupt_reply, restart_reply,
-- `createReplyStore`, `createMessageStore` and `createExchangeStore`.
CREATE OR REPLACE FUNCTION next_rev (in_conversation bigint) RETURNS bigint
LANGUAGE sql AS $$
  UPDATE conversations SET last_rev = last_rev + 1 WHERE id = in_conversation RETURNING last_rev
$$;

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

-- replies_under_way: counts the replies to a user's messages that are streaming or queued, in all conversations, without
-- those that were asked to stop.
--
-- Locks: nothing. A caller that enforces a limit must lock the user first. Otherwise two replies that begin at the same
-- moment would not count each other.
-- Returns: the number.
-- Raises: nothing.
-- Called by: append_message, restart_reply and `createReplyStore`.
CREATE OR REPLACE FUNCTION replies_under_way (in_author bigint) RETURNS bigint
LANGUAGE sql AS $$
  SELECT count(*) FROM messages r JOIN messages q ON q.conversation_id = r.conversation_id AND q.id = r.reply_to
  WHERE r.status IN ('streaming', 'queued') AND NOT r.stop_requested AND q.user_id = in_author
$$;

-- keep_bots: keeps bots from being deleted until the transaction ends.
--
-- messages.chatbot_id is not a foreign key. With one, every message would lock the row of its bot, and all messages to the
-- same bot would keep changing who holds that lock, in memory that they take turns to write. The caller reads whether the
-- bots are still there after this call, in another statement. forget_bots, which every deletion runs, waits for the lock.
--
-- Locks: an advisory lock on 'bot' and the id of each bot, shared, in the order of their ids.
-- Returns: nothing.
-- Raises: nothing.
-- Called by: append_message, append_messages and `appendUnprompted`.
CREATE OR REPLACE FUNCTION keep_bots (in_bots bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(hashtextextended('bot', b.id)) FROM (SELECT DISTINCT id FROM unnest(in_bots) id ORDER BY id) b;
END $$;

-- forget_bots: takes deleted bots out of their messages, which stay, without a bot.
--
-- Locks: an advisory lock on 'bot' and the id of each bot, in the order of their ids. It waits for the transactions that
-- have called keep_bots, so that their messages are found. Then the messages.
-- Returns: null, as it runs after the deletion.
-- Raises: nothing.
-- Called by: the trigger forget_bots, after rows of chatbots are deleted.
CREATE OR REPLACE FUNCTION forget_bots () RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('bot', b.id)) FROM (SELECT r.id FROM removed r ORDER BY r.id) b;
  UPDATE messages m SET chatbot_id = NULL WHERE m.chatbot_id IN (SELECT r.id FROM removed r);
  RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER forget_bots AFTER DELETE ON chatbots REFERENCING OLD TABLE AS removed
  FOR EACH STATEMENT EXECUTE FUNCTION forget_bots();

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
-- used in_client_id before. An author who was locked while this waited for the conversation or for the author's row is refused, so
-- that no reply begins after stop_replies_to has stopped those under way.
--
-- append_messages repeats these rules, except for the locked author, because it waits for neither. A shared function would make this
-- one take 1.5 times as long. Change both: test/db/functions.test.ts gives both the same generated cases and compares what they store.
--
-- Locks: the conversation; then the bots, against deletion; then, when one of the replies is null, the author's user row, and
-- the replies that are stopped; then, for the first message of a minute, the rows of conversation_users of all members (see
-- move_used_in); then the author's row of conversation_users.
-- Returns: one row with the message's id, its time, and the statuses of the message and of the replies; no row when
-- nothing was stored.
-- Raises: PB001 when the conversation rejects messages while a reply is under way; PB002 when three replies to the author's
-- messages are under way already; PB003 when the author is locked; 23505 on messages_client_id when the author has used in_client_id
-- before.
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
  IF EXISTS (SELECT FROM users u WHERE u.id = in_author AND u.locked_at IS NOT NULL) THEN
    RAISE EXCEPTION 'the author is locked' USING ERRCODE = 'PB003';
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

-- append_messages: stores messages of users, one in each of several conversations, with the replies of the bots.
--
-- in_reply_to, in_bots and in_replies are parallel, with one element for each reply. in_reply_to is the number of the
-- message that the reply answers, counted from 1; replies to one message are in the order of their ids. No reply may be
-- null. The other arrays are parallel, too, with one element for each message. No two messages may be in one conversation.
-- Each message follows the rules of append_message. The time of all of them is the same.
--
-- Locks: the conversations, in the order of their ids. A conversation that another transaction has locked is skipped
-- (SKIP LOCKED). Waiting for it would hold up all conversations that this call has locked already. Then the bots, against
-- deletion; then the rows of conversation_users of the authors and, for the first message of a minute, of all members (see
-- move_used_in).
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
  PERFORM keep_bots(in_bots);
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
    SET last_rev = c.last_rev + 1 + w.answers, state = w.new_state, is_finished = coalesce(w.finished, c.is_finished), last_updated = moment
    FROM whole w
    WHERE c.id = w.conversation AND c.id = ANY (locked) AND c.state = w.old_state
      AND EXISTS (SELECT FROM conversation_users u WHERE u.conversation_id = c.id AND u.user_id = w.author)
      AND w.answers = CASE WHEN is_contact_origin(c.origin)
        THEN (SELECT count(*) FROM chatbots b WHERE b.id = ANY (w.bots))
        ELSE (SELECT count(*) FROM conversation_bots b WHERE b.conversation_id = c.id AND b.chatbot_id = ANY (w.bots)) END
    RETURNING w.nth, c.id AS conversation, w.author, c.last_rev - w.answers AS place
  ), read AS (
    UPDATE conversation_users u SET read_rev = t.place FROM taken t WHERE u.conversation_id = t.conversation AND u.user_id = t.author
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

-- begin_conversations: begins for each of several contacts, who are known by an address alone, their only unfinished
-- conversation, with one bot.
--
-- in_owners, in_names and in_bots are parallel. No two owners may be the same.
--
-- Locks: the owners, against deletion (FOR KEY SHARE). An owner whom another transaction is changing or deleting is skipped (SKIP
-- LOCKED). When another transaction has begun a conversation of an owner, the unique index conversations_one_unfinished makes this
-- one wait until the other one ends; two calls cannot wait for each other, because both insert in the order of the owners.
-- Returns: a row for each owner who exists and was not skipped, with the id of the new conversation; null when the owner already
-- has an unfinished one.
-- Raises: 23503 when one of the bots has been deleted. Then no conversation is begun.
-- Called by: begin_conversation and `createAppendStore`.
CREATE OR REPLACE FUNCTION begin_conversations (in_owners bigint[], in_origin origin, in_names text[], in_bots bigint[])
RETURNS TABLE (owner bigint, conversation bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  present bigint[];
BEGIN
  present := array(SELECT u.id FROM users u WHERE u.id = ANY (in_owners) FOR KEY SHARE SKIP LOCKED);
  RETURN QUERY
  WITH asked AS (
    SELECT * FROM unnest(in_owners, in_names, in_bots) AS a (owner, name, bot) WHERE a.owner = ANY (present)
  ), begun AS (
    INSERT INTO conversations AS c (owner_id, origin, name) SELECT a.owner, in_origin, a.name FROM asked a ORDER BY a.owner
    ON CONFLICT DO NOTHING
    RETURNING c.id, c.owner_id
  ), joined AS (
    INSERT INTO conversation_users (conversation_id, user_id) SELECT b.id, b.owner_id FROM begun b
  ), answering AS (
    INSERT INTO conversation_bots (conversation_id, chatbot_id) SELECT b.id, a.bot FROM begun b JOIN asked a ON a.owner = b.owner_id
  )
  SELECT a.owner, b.id FROM asked a LEFT JOIN begun b ON b.owner_id = a.owner;
END $$;

-- begin_conversation: begins the only unfinished conversation of a contact, who is known by an address alone, with one bot.
-- The conversation before it is finished if it is over (see is_conversation_over).
--
-- Locks: the owner's unfinished conversation, if it is over; then the owner, against deletion (FOR KEY SHARE). When another
-- transaction has begun a conversation of this owner, the unique index conversations_one_unfinished makes this one wait until the
-- other one ends.
-- Returns: the id; null when the owner already has an unfinished conversation.
-- Raises: 23503 when the owner or the bot has been deleted.
-- Called by: `createAppendStore` and `announce`.
CREATE OR REPLACE FUNCTION begin_conversation (in_owner bigint, in_origin origin, in_name text, in_bot bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE conversations SET is_finished = true
  WHERE owner_id = in_owner AND origin = in_origin AND NOT is_finished AND is_conversation_over(origin, last_updated);
  PERFORM FROM users u WHERE u.id = in_owner FOR KEY SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no user %', in_owner USING ERRCODE = '23503';
  END IF;
  RETURN (SELECT b.conversation FROM begin_conversations(
    in_owners => ARRAY[in_owner], in_origin => in_origin, in_names => ARRAY[in_name], in_bots => ARRAY[in_bot]) b);
END $$;


-- ------------------------------------------------------------
-- The life of a reply: queued, streaming, then complete, stopped, interrupted or failed
-- ------------------------------------------------------------

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

-- record_cost: records what one attempt at a reply cost, whatever became of the reply.
--
-- in_attempt is the owner of the attempt's lease. in_cost is null for an attempt that cost nothing, or an object with
-- user (the id of the user who asked), api_key_hash, bot (a name), model, prompt_tokens, completion_tokens and
-- is_estimate; all but the tokens may be missing. Tokens are limited to the range of integer, from 0. A user who has been
-- deleted is recorded as null. If the attempt was recorded before, its row is updated.
-- in_conversation and in_id are null for a reply that is not stored.
--
-- Locks: the user who asked, against deletion only (FOR KEY SHARE), so that user_id never refers to a deleted user.
-- Returns: one row with the bot's name and the tokens that were added, or no row when in_cost is null. For an attempt that
-- was recorded before, that is the difference: 0 when a caller repeats itself, and perhaps negative when an exact count
-- takes the place of an estimate.
-- Raises: nothing.
-- Called by: finish_reply, interrupt_reply and `createReplyStore`.
CREATE OR REPLACE FUNCTION record_cost (
  in_conversation bigint, in_id bigint, in_attempt text, in_status message_status, in_cost jsonb
) RETURNS TABLE (bot text, prompt_tokens integer, completion_tokens integer)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  most CONSTANT numeric := 2147483647;
  prompt integer := least(greatest((in_cost ->> 'prompt_tokens')::numeric, 0), most);
  completion integer := least(greatest((in_cost ->> 'completion_tokens')::numeric, 0), most);
  payer bigint;
  known record;
BEGIN
  IF in_cost IS NULL THEN
    RETURN;
  END IF;
  SELECT u.id INTO payer FROM users u WHERE u.id = (in_cost ->> 'user')::bigint FOR KEY SHARE;
  SELECT r.prompt_tokens AS prompt, r.completion_tokens AS completion INTO known FROM reply_costs r WHERE r.attempt = in_attempt;
  INSERT INTO reply_costs (user_id, api_key_hash, attempt, conversation_id, message_id, bot_name, model, status, prompt_tokens, completion_tokens, is_estimate)
  VALUES (payer, in_cost ->> 'api_key_hash', in_attempt, in_conversation, in_id, in_cost ->> 'bot', in_cost ->> 'model', in_status,
    prompt, completion, coalesce((in_cost ->> 'is_estimate')::boolean, false))
  ON CONFLICT (attempt) DO UPDATE SET status = excluded.status, model = excluded.model, prompt_tokens = excluded.prompt_tokens,
    completion_tokens = excluded.completion_tokens, is_estimate = excluded.is_estimate;
  RETURN QUERY SELECT in_cost ->> 'bot', prompt - coalesce(known.prompt, 0), completion - coalesce(known.completion, 0);
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
-- Raises: 23505 on conversations_one_unfinished when another transaction begins a conversation of the owner at this moment. Nothing
-- is stored then. A second call sees that conversation.
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
-- in_bot is not its bot or has been taken out of the conversation (see is_contact_origin); 'locked' when in_user is locked; 'too
-- many' when three replies to the author of the message are under way.
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
  IF EXISTS (SELECT FROM users u WHERE u.id = in_user AND u.locked_at IS NOT NULL) THEN
    RETURN 'locked';
  END IF;
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

-- stop_conversation: stops all replies in a conversation, on behalf of a member. See stop_replies.
--
-- Locks: the conversation; then the replies.
-- Returns: whether in_user is in the conversation. If not, nothing happens.
-- Raises: nothing.
-- Called by: `createReplyStore`.
CREATE OR REPLACE FUNCTION stop_conversation (in_conversation bigint, in_user bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM conversations c WHERE c.id = in_conversation FOR NO KEY UPDATE;
  IF NOT EXISTS (SELECT FROM conversation_users u WHERE u.conversation_id = in_conversation AND u.user_id = in_user) THEN
    RETURN false;
  END IF;
  PERFORM stop_replies(in_conversation);
  RETURN true;
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


-- ------------------------------------------------------------
-- Conversations: owners, lists in the order of use, and who is gone
-- ------------------------------------------------------------

-- hand_over: gives the conversations that somebody owns, or one of them, to the member who joined first of the others. A locked
-- member gets one only if all others are locked, too: nobody could add or remove anybody there.
-- A conversation without other members stays as it is. The former owner's client id for it is forgotten: the new owner
-- may have given the same one to another conversation.
--
-- Locks: no further row. The caller must have locked the conversations.
-- Returns: the ids of the conversations that have a new owner.
-- Raises: nothing.
-- Called by: `removeLocked` and `createMemberStore`.
CREATE OR REPLACE FUNCTION hand_over (in_owner bigint, in_conversation bigint DEFAULT NULL) RETURNS SETOF bigint
LANGUAGE sql AS $$
  UPDATE conversations SET owner_id = heir.user_id, client_id = NULL
  FROM (
    SELECT DISTINCT ON (m.conversation_id) m.conversation_id, m.user_id
    FROM conversations c JOIN conversation_users m ON m.conversation_id = c.id JOIN users u ON u.id = m.user_id
    WHERE c.owner_id = in_owner AND m.user_id <> in_owner AND (in_conversation IS NULL OR c.id = in_conversation)
    ORDER BY m.conversation_id, u.locked_at IS NOT NULL, m.joined_at, m.user_id
  ) heir
  WHERE conversations.id = heir.conversation_id
  RETURNING conversations.id
$$;

-- set_used_in: sets used_in of a new member to the minute in which the conversation was last updated. Adding a member and
-- adding a message both happen under the lock of the conversation, so that the two cannot miss each other.
--
-- Locks: nothing.
-- Returns: the row, as triggers do.
-- Raises: nothing.
-- Called by: the trigger set_used_in, before a row of conversation_users is inserted.
CREATE OR REPLACE FUNCTION set_used_in () RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  NEW.used_in := coalesce((SELECT date_bin('1 minute', c.last_updated, 'epoch') FROM conversations c WHERE c.id = NEW.conversation_id), NEW.used_in);
  RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER set_used_in BEFORE INSERT ON conversation_users FOR EACH ROW EXECUTE FUNCTION set_used_in();

-- move_used_in: sets used_in of all members to the minute in which the conversation was last updated. A message writes to
-- the rows of the members only when it is the first one of a minute.
--
-- Locks: the rows of the conversation's members.
-- Returns: null, as it runs after the update.
-- Raises: nothing.
-- Called by: the trigger move_used_in, after an update of conversations that comes in another minute than the one before.
CREATE OR REPLACE FUNCTION move_used_in () RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE conversation_users u SET used_in = date_bin('1 minute', NEW.last_updated, 'epoch') WHERE u.conversation_id = NEW.id;
  RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER move_used_in AFTER UPDATE OF last_updated ON conversations FOR EACH ROW
  WHEN (date_bin('1 minute', OLD.last_updated, 'epoch') <> date_bin('1 minute', NEW.last_updated, 'epoch'))
  EXECUTE FUNCTION move_used_in();

-- note_gone: records who is no longer in a conversation, so that users who were away learn it. It also writes the rows of
-- the conversations that still exist, without a change: the news of the other members show the number of members, and
-- find what is new by the transaction that wrote a conversation last. A user who is being deleted is left out.
--
-- Locks: the conversations, which the callers in src/ have locked already; then the users, against deletion only (FOR KEY
-- SHARE).
-- Returns: null, as it runs after the deletion.
-- Raises: nothing.
-- Called by: the trigger note_gone, after rows of conversation_users are deleted.
CREATE OR REPLACE FUNCTION note_gone () RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE conversations c SET last_rev = c.last_rev WHERE c.id IN (SELECT r.conversation_id FROM removed r);
  INSERT INTO gone_conversations (conversation_id, user_id)
  SELECT r.conversation_id, u.id FROM removed r JOIN users u ON u.id = r.user_id ORDER BY u.id FOR KEY SHARE OF u
  ON CONFLICT (conversation_id, user_id) DO UPDATE SET gone_at = excluded.gone_at;
  RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER note_gone AFTER DELETE ON conversation_users REFERENCING OLD TABLE AS removed
  FOR EACH STATEMENT EXECUTE FUNCTION note_gone();

-- user_sessions: each phone of the guided chat with its newest conversation: where it is in the script of the bot that
-- spoke last, and the answers to the questions `name` and `song`. docs/compatibility.md says who relies on the columns.
-- src/db/tables.ts defines the view; drizzle-kit writes its migrations.
--
-- Locks: nothing.
-- Returns: one row for each phone.
-- Raises: nothing.
-- Called by: nothing in src/. It is for other programs that read the database.
CREATE OR REPLACE VIEW user_sessions AS (
  SELECT DISTINCT ON (i.address)
    i.address AS phone_number,
    p.place -> 'answers' ->> 'name' AS user_name,
    p.place -> 'answers' ->> 'song' AS favorite_song,
    coalesce(p.place ->> 'at', 'INITIAL') AS conversation_state,
    c.last_updated AS last_interaction
  FROM identities i
  JOIN conversations c ON c.owner_id = i.user_id AND c.origin = 'phone'
  LEFT JOIN LATERAL (
    SELECT c.state -> m.chatbot_id::text AS place
    FROM messages m
    WHERE m.conversation_id = c.id AND m.chatbot_id IS NOT NULL
    ORDER BY m.id DESC LIMIT 1
  ) p ON true
  WHERE i.channel = 'phone'
  ORDER BY i.address, c.id DESC);


-- ------------------------------------------------------------
-- WhatsApp: who a contact is
-- ------------------------------------------------------------

-- find_whatsapp_contact: finds the contact with a user id, a phone number, or both.
--
-- The user id decides. The phone number alone leads to any contact that has it; together with a user id it leads only to
-- a contact whose user id is not known. A contact whose key is the number does not have it any more if another one is stored.
--
-- Locks: nothing.
-- Returns: the contact; a row of nulls when none is known.
-- Raises: nothing.
-- Called by: note_whatsapp_contact, move_whatsapp_contact, `createInboxStore` and `deliverPost`.
CREATE OR REPLACE FUNCTION find_whatsapp_contact (in_user_id text, in_phone text) RETURNS whatsapp_contacts
LANGUAGE sql STABLE AS $$
  SELECT c.* FROM (
    SELECT 1 AS rank, u.contact FROM whatsapp_contacts u WHERE u.user_id = in_user_id
    UNION ALL
    SELECT 2, u.contact FROM whatsapp_contacts u WHERE u.contact = in_user_id
    UNION ALL
    SELECT 3, p.contact FROM whatsapp_contacts p WHERE p.phone = in_phone AND (in_user_id IS NULL OR p.user_id IS NULL)
    UNION ALL
    SELECT 4, p.contact FROM whatsapp_contacts p WHERE p.contact = in_phone AND p.phone IS NULL AND (in_user_id IS NULL OR p.user_id IS NULL)
  ) known JOIN whatsapp_contacts c ON c.contact = known.contact
  ORDER BY known.rank, c.user_id IS NULL, c.last_message_at DESC NULLS LAST, c.contact
  LIMIT 1
$$;

-- note_whatsapp_contact: finds the contact with a user id, a phone number, or both, and stores what is new about it. A
-- contact that is not known is stored. Its key is the user id or the number; a number that is the key of its former owner
-- gets -2 appended, -3, and so on. Only a notice changes a user id. A message with the former one was sent before the notice and
-- comes late, so its number is not stored: it may be the former one, too. A number that comes with a user id is taken from
-- any other contact that has it and a user id of its own.
--
-- Locks: an advisory lock on 'whatsapp_contacts', unless nothing is new. One transaction at a time changes contacts, so
-- that two transactions that introduce the same contact make one.
-- Returns: the key of the contact.
-- Raises: nothing.
-- Called by: `createInboxStore`, `createTemplateStore` and `deliverPost`.
CREATE OR REPLACE FUNCTION note_whatsapp_contact (in_user_id text, in_phone text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  known whatsapp_contacts;
  nth integer := 1;
BEGIN
  FOR attempt IN 1..2 LOOP
    known := find_whatsapp_contact(in_user_id, in_phone);
    IF known.user_id <> in_user_id THEN
      RETURN known.contact;
    END IF;
    IF known.contact IS NOT NULL AND (in_user_id IS NULL OR known.user_id = in_user_id) AND (in_phone IS NULL OR known.phone = in_phone) THEN
      RETURN known.contact;
    END IF;
    IF attempt = 1 THEN
      PERFORM pg_advisory_xact_lock(hashtextextended('whatsapp_contacts', 0));
    END IF;
  END LOOP;
  IF known.contact IS NULL THEN
    known.contact := coalesce(in_user_id, in_phone);
    WHILE EXISTS (SELECT FROM whatsapp_contacts c WHERE c.contact = known.contact) LOOP
      nth := nth + 1;
      known.contact := concat(in_phone, '-', nth);
    END LOOP;
    INSERT INTO whatsapp_contacts (contact, user_id, phone) VALUES (known.contact, in_user_id, in_phone);
  ELSE
    UPDATE whatsapp_contacts c SET user_id = coalesce(in_user_id, c.user_id), phone = coalesce(in_phone, c.phone) WHERE c.contact = known.contact;
  END IF;
  IF in_user_id IS NOT NULL THEN
    UPDATE whatsapp_contacts c SET phone = NULL WHERE c.phone = in_phone AND c.user_id IS NOT NULL AND c.contact <> known.contact;
  END IF;
  RETURN known.contact;
END $$;

-- move_whatsapp_contact: stores that a contact has another phone number, another user id, or both, as WhatsApp tells us.
-- Nothing changes when another contact has the new address already: that one keeps it.
--
-- Locks: an advisory lock on 'whatsapp_contacts'.
-- Returns: the key of the contact, which stays the same; the old address when no such contact is known.
-- Raises: nothing.
-- Called by: `createInboxStore`.
CREATE OR REPLACE FUNCTION move_whatsapp_contact (in_user_id text, in_phone text, in_new_user_id text, in_new_phone text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  known whatsapp_contacts;
  newer whatsapp_contacts;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('whatsapp_contacts', 0));
  known := find_whatsapp_contact(in_user_id, NULL);
  IF known.contact IS NULL THEN
    known := find_whatsapp_contact(NULL, in_phone);
  END IF;
  newer := find_whatsapp_contact(in_new_user_id, in_new_phone);
  IF known.contact IS NOT NULL AND (newer.contact IS NULL OR newer.contact = known.contact) THEN
    UPDATE whatsapp_contacts c SET user_id = coalesce(in_new_user_id, c.user_id), phone = in_new_phone
    WHERE c.contact = known.contact AND coalesce(in_new_user_id, in_new_phone) IS NOT NULL;
  END IF;
  RETURN coalesce(known.contact, in_user_id, in_phone);
END $$;


-- ------------------------------------------------------------
-- Jobs and the admin log
-- ------------------------------------------------------------

-- take_turn: makes sure that only one job of a key works at a time. A job has the turn of a key as long as the queue has the
-- job locked, which is while it runs. When a worker dies, another worker unlocks its jobs, which ends their turns.
--
-- Locks: the row of the key in turns, then the row of the other job. Whether the other job still runs is read after the
-- first lock, in a new snapshot.
-- Returns: true when in_job has the turn now; false when another running job has it. In that case the row is marked as
-- `wanted`, so that the other job looks for work once more before it ends. Otherwise the work for which in_job was added
-- might be missed. The other job also gets an attempt back: when a job is added with the job_key of a running one, the
-- queue does not retry the running one, and if that one failed, nobody would do the work.
-- Raises: nothing.
-- Called by: `createJobLocks`.
CREATE OR REPLACE FUNCTION take_turn (in_key text, in_job bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  LOOP
    INSERT INTO turns (key, job) VALUES (in_key, in_job) ON CONFLICT DO NOTHING;
    IF FOUND THEN
      RETURN true;
    END IF;
    PERFORM FROM turns t WHERE t.key = in_key FOR UPDATE;
    EXIT WHEN FOUND;
  END LOOP;
  UPDATE turns t SET job = in_job, wanted = false
  WHERE t.key = in_key AND (t.job = in_job
    OR NOT EXISTS (SELECT FROM graphile_worker.jobs j WHERE j.id = t.job AND j.locked_at IS NOT NULL));
  IF FOUND THEN
    RETURN true;
  END IF;
  UPDATE turns t SET wanted = true WHERE t.key = in_key;
  UPDATE graphile_worker._private_jobs j SET attempts = 1 FROM turns t
  WHERE t.key = in_key AND j.id = t.job AND j.attempts >= j.max_attempts;
  RETURN false;
END $$;

-- refuse_change: makes a table append-only.
--
-- Locks: nothing.
-- Returns: never.
-- Raises: insufficient_privilege (42501), always.
-- Called by: the trigger admin_log_is_append_only, before an UPDATE or DELETE of admin_log.
CREATE OR REPLACE FUNCTION refuse_change () RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'rows of % can neither be changed nor deleted', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE OR REPLACE TRIGGER admin_log_is_append_only BEFORE UPDATE OR DELETE ON admin_log FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
