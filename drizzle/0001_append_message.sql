-- One message and its instant answers: both in one statement, or nothing at all.
--
-- The lock on the conversation comes first. Each statement in the function has a snapshot of its own, so that what
-- follows sees everything that was committed before the lock was given: who is a member, what the bots' state is.
-- No row comes back when the author may not write here or the state is no longer the one that the bots answered
-- to: then nothing is stored and no rev is taken, and the caller reads and asks again. The same holds for a client
-- id seen before: the unique index refuses the whole statement (SQLSTATE 23505).
CREATE FUNCTION append_message (
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
--> statement-breakpoint
-- Begins the one unfinished conversation of somebody who has proved only an address; null when there is one already.
CREATE FUNCTION begin_conversation (in_owner bigint, in_origin origin, in_name text, in_bot bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  conversation bigint;
BEGIN
  INSERT INTO conversations (owner_id, origin, name) VALUES (in_owner, in_origin, in_name)
  ON CONFLICT DO NOTHING
  RETURNING id INTO conversation;
  IF FOUND THEN
    INSERT INTO conversation_users (conversation_id, user_id) VALUES (conversation, in_owner);
    INSERT INTO conversation_bots (conversation_id, chatbot_id) VALUES (conversation, in_bot);
  END IF;
  RETURN conversation;
END $$;
--> statement-breakpoint
INSERT INTO chatbots (name, engine, settings) VALUES
  ('simulated', 'simulated', '{}'),
  ('favorite-song', 'guided', '{"script": "favorite-song"}');
