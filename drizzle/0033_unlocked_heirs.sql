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
