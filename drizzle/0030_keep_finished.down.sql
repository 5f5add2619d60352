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
  UPDATE conversations c
  SET last_rev = c.last_rev + 1 + cardinality(in_bots), state = in_new_state, is_finished = in_finished,
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
    SET last_rev = c.last_rev + 1 + w.answers, state = w.new_state, is_finished = w.finished, last_updated = moment
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
