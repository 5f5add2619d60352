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
END $$;--> statement-breakpoint
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
