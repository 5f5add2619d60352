DROP VIEW user_sessions;
DROP INDEX users_former_keys;
CREATE VIEW "public"."user_sessions" AS (
  SELECT DISTINCT ON (i.address)
    i.address AS phone_number,
    p.place -> 'answers' ->> 'name' AS user_name,
    p.place -> 'answers' ->> 'song' AS favorite_song,
    coalesce(p.place ->> 'at', 'INITIAL') AS conversation_state,
    c.last_updated AS last_interaction
  FROM identities i
  JOIN conversations c ON c.owner_id = i.user_id AND c.origin = 'phone'
  LEFT JOIN LATERAL (
    SELECT c.state -> b.id::text AS place
    FROM conversation_bots cb JOIN chatbots b ON b.id = cb.chatbot_id
    WHERE cb.conversation_id = c.id
  ) p ON true
  WHERE i.channel = 'phone'
  ORDER BY i.address, c.id DESC);
