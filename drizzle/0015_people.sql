DROP VIEW "public"."user_sessions";--> statement-breakpoint
CREATE INDEX "users_former_keys" ON "users" USING btree ("username_key") WHERE "users"."username_key" ~ '[\u00df\u0307\u0345\u034f\u03c2\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u1c80-\u1c88\u1f80-\u1f87\u1f90-\u1f97\u1fa0-\u1fa7\u1fb2-\u1fb4\u1fb7\u1fc2-\u1fc4\u1fc7\u1ff2-\u1ff4\u1ff7\u2800\ufe00-\ufe0f\ufffc\U00013440-\U00013442\U00016fe4\U0001d159\U000e0100-\U000e01ef]|  |^ ';--> statement-breakpoint
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
    SELECT c.state -> m.chatbot_id::text AS place
    FROM messages m
    WHERE m.conversation_id = c.id AND m.chatbot_id IS NOT NULL
    ORDER BY m.id DESC LIMIT 1
  ) p ON true
  WHERE i.channel = 'phone'
  ORDER BY i.address, c.id DESC);