CREATE OR REPLACE FUNCTION hand_over (in_owner bigint, in_conversation bigint DEFAULT NULL) RETURNS SETOF bigint
LANGUAGE sql AS $$
  UPDATE conversations SET owner_id = heir.user_id
  FROM (
    SELECT DISTINCT ON (m.conversation_id) m.conversation_id, m.user_id
    FROM conversations c JOIN conversation_users m ON m.conversation_id = c.id
    WHERE c.owner_id = in_owner AND m.user_id <> in_owner AND (in_conversation IS NULL OR c.id = in_conversation)
    ORDER BY m.conversation_id, m.joined_at, m.user_id
  ) heir
  WHERE conversations.id = heir.conversation_id
  RETURNING conversations.id
$$;
DROP INDEX conversations_client_id;
ALTER TABLE conversations DROP COLUMN metadata, DROP COLUMN client_id;
