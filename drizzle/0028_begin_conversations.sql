CREATE OR REPLACE FUNCTION begin_conversations (in_owners bigint[], in_origin origin, in_names text[], in_bots bigint[])
RETURNS TABLE (owner bigint, conversation bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  present bigint[];
BEGIN
  present := array(SELECT u.id FROM users u WHERE u.id = ANY (in_owners) ORDER BY u.id FOR KEY SHARE SKIP LOCKED);
  UPDATE conversations c SET is_finished = true
  WHERE c.owner_id = ANY (present) AND c.origin = in_origin AND NOT c.is_finished AND is_conversation_over(c.origin, c.last_updated);
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
CREATE OR REPLACE FUNCTION begin_conversation (in_owner bigint, in_origin origin, in_name text, in_bot bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM users u WHERE u.id = in_owner FOR KEY SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no user %', in_owner USING ERRCODE = '23503';
  END IF;
  RETURN (SELECT b.conversation FROM begin_conversations(
    in_owners => ARRAY[in_owner], in_origin => in_origin, in_names => ARRAY[in_name], in_bots => ARRAY[in_bot]) b);
END $$;
