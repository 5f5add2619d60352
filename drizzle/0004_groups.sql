ALTER TABLE "chatbots" DROP CONSTRAINT "chatbots_name_unique";--> statement-breakpoint
CREATE UNIQUE INDEX "chatbots_name" ON "chatbots" USING btree (lower("name"));
--> statement-breakpoint
-- Hands what somebody owns, all of it or one conversation, to its oldest other member; gives those that found one.
CREATE FUNCTION hand_over (in_owner bigint, in_conversation bigint DEFAULT NULL) RETURNS SETOF bigint
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
--> statement-breakpoint
-- As before, and no row comes back either when one of the bots has been taken out meanwhile. Who has proved only an
-- address takes nobody out: there the bot is known by its name.
CREATE OR REPLACE FUNCTION append_message (
  in_conversation bigint, in_author bigint, in_text text, in_client_id text, in_client_text_hash text,
  in_bots bigint[], in_replies text[], in_old_state jsonb, in_new_state jsonb, in_finished boolean
) RETURNS TABLE (id bigint, created_at timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
  place bigint;
  moment timestamptz(3);
BEGIN
  PERFORM FROM conversations c WHERE c.id = in_conversation FOR NO KEY UPDATE;
  UPDATE conversations c
  SET last_rev = c.last_rev + 1 + cardinality(in_bots), state = in_new_state, is_finished = in_finished,
      last_updated = clock_timestamp()
  WHERE c.id = in_conversation AND c.state = in_old_state
    AND EXISTS (SELECT FROM conversation_users u WHERE u.conversation_id = c.id AND u.user_id = in_author)
    AND (c.origin IN ('phone', 'whatsapp') OR cardinality(in_bots) =
      (SELECT count(*) FROM conversation_bots b WHERE b.conversation_id = c.id AND b.chatbot_id = ANY (in_bots)))
  RETURNING c.last_rev - cardinality(in_bots), c.last_updated INTO place, moment;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  INSERT INTO messages (conversation_id, id, rev, sender, user_id, chatbot_id, reply_to, text, client_id,
                        client_text_hash, created_at)
  SELECT in_conversation, place, place, 'user'::sender, in_author, NULL, NULL, in_text, in_client_id,
         in_client_text_hash, moment
  UNION ALL
  SELECT in_conversation, place + r.nth, place + r.nth, 'bot'::sender, NULL, r.bot, place, r.reply, NULL, NULL, moment
  FROM unnest(in_bots, in_replies) WITH ORDINALITY AS r (bot, reply, nth);
  RETURN QUERY SELECT place, moment;
END $$;
