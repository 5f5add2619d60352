ALTER TABLE "messages" ADD COLUMN "cost_so_far" jsonb;--> statement-breakpoint
ALTER TABLE "messages" DROP COLUMN "prompt_tokens";--> statement-breakpoint
ALTER TABLE "messages" DROP COLUMN "completion_tokens";--> statement-breakpoint
ALTER TABLE "reply_costs" ADD COLUMN "attempt" text;--> statement-breakpoint
ALTER TABLE "reply_costs" ADD CONSTRAINT "reply_costs_attempt" UNIQUE("attempt");--> statement-breakpoint
UPDATE chatbots b SET settings = b.settings || jsonb_build_object('description', d.description)
FROM (VALUES
  ('simulated', 'Repeats what you say. For trying things out.'),
  ('favorite-song', 'Asks for your name and your favorite song.'),
  ('assistant', 'A language model that answers questions.')
) AS d (name, description)
WHERE b.name = d.name AND NOT b.settings ? 'description';
--> statement-breakpoint
-- record_cost: records what one attempt at a reply cost, whatever became of the reply.
--
-- in_attempt is the owner of the attempt's lease. in_cost is null for an attempt that cost nothing, or an object with
-- user (the id of the user who asked), api_key_hash, bot (a name), model, prompt_tokens, completion_tokens and
-- is_estimate; all but the tokens may be missing. Tokens out of range are cut to it.
-- Locks: the user's row against deletion, so that user_id never refers to a user who is deleted meanwhile; a user who is
-- gone already is recorded as null.
-- Gives one row with the bot's name and the tokens that were added, or no row when in_cost is null. An attempt that was
-- recorded before is recorded anew and adds the difference, which is 0 when a caller repeats itself, and may be negative
-- when an exact count takes the place of an estimate.
-- Called by finish_reply and interrupt_reply.
CREATE FUNCTION record_cost (
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
--> statement-breakpoint
DROP FUNCTION finish_reply;
--> statement-breakpoint
-- finish_reply: ends a reply and records what it cost, in one statement.
--
-- Locks the conversation, then, for the cost, the user who asked. If the message is still streaming and in_owner still
-- holds its lease, the message gets in_status, the next rev and in_error, and in_piece is put behind its first in_at
-- characters. Then in_state becomes what the bot remembers of the conversation (JSON null: it is forgotten; SQL null: it
-- stays) and in_finished becomes whether the conversation is finished (null: it stays), unless the bot has been taken out
-- of the conversation. Conversations by phone and on WhatsApp take no bots out. Such a conversation does not become
-- unfinished again while its owner has another unfinished one.
-- If the lease is lost or the message is gone, nothing of the conversation changes. The cost (see record_cost) is
-- recorded in any case.
-- Gives one row: whether the reply was ended, and the tokens that were added to the costs, 0 where there were none.
-- Called by the instance that writes the reply, again after an error: repeating it changes nothing more.
CREATE FUNCTION finish_reply (
  in_conversation bigint, in_id bigint, in_owner text, in_status message_status, in_at integer, in_piece text, in_error text,
  in_state jsonb, in_finished boolean, in_cost jsonb
) RETURNS TABLE (finished boolean, prompt_tokens integer, completion_tokens integer)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  bot bigint;
  is_ours boolean;
  cost record;
BEGIN
  PERFORM FROM conversations c WHERE c.id = in_conversation FOR NO KEY UPDATE;
  UPDATE messages m SET status = in_status, rev = next_rev(in_conversation), text = left(m.text, in_at) || in_piece, error = in_error,
    cost_so_far = NULL, lease_owner = NULL, lease_until = NULL
  WHERE m.conversation_id = in_conversation AND m.id = in_id AND m.status = 'streaming' AND m.lease_owner = in_owner
  RETURNING m.chatbot_id INTO bot;
  is_ours := FOUND;
  IF bot IS NOT NULL AND (in_state IS NOT NULL OR in_finished IS NOT NULL) THEN
    UPDATE conversations c
    SET state = CASE WHEN in_state IS NULL THEN c.state WHEN in_state = 'null' THEN c.state - bot::text
        ELSE c.state || jsonb_build_object(bot::text, in_state) END,
      is_finished = CASE WHEN NOT in_finished AND c.origin IN ('phone', 'whatsapp') AND EXISTS (
          SELECT FROM conversations o WHERE o.owner_id = c.owner_id AND o.origin IN ('phone', 'whatsapp') AND NOT o.is_finished AND o.id <> c.id
        ) THEN c.is_finished ELSE coalesce(in_finished, c.is_finished) END
    WHERE c.id = in_conversation AND (c.origin IN ('phone', 'whatsapp')
      OR EXISTS (SELECT FROM conversation_bots b WHERE b.conversation_id = c.id AND b.chatbot_id = bot));
  END IF;
  SELECT * INTO cost FROM record_cost(in_conversation, in_id, in_owner, in_status, in_cost);
  RETURN QUERY SELECT is_ours, coalesce(cost.prompt_tokens, 0), coalesce(cost.completion_tokens, 0);
END $$;
--> statement-breakpoint
DROP FUNCTION interrupt_reply;
--> statement-breakpoint
-- interrupt_reply: ends a reply whose writer died, which shows by its lapsed lease. What it had said stays.
--
-- Locks the conversation, then, for the cost, the user who asked. A reply that was to stop becomes stopped, any other one
-- interrupted. If its writer had stored what the reply cost so far, that is recorded; the tokens of the text are
-- estimated, at four characters to a token, where nothing better was stored. Does nothing when the lease has been renewed
-- meanwhile or another instance came first.
-- Gives the bot's name and the tokens that were added to the costs; no row where there were none.
-- Called by any instance for every lapsed lease it finds.
CREATE FUNCTION interrupt_reply (in_conversation bigint, in_id bigint)
RETURNS TABLE (bot text, prompt_tokens integer, completion_tokens integer)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  lapsed messages;
  becomes message_status;
BEGIN
  PERFORM FROM conversations c WHERE c.id = in_conversation FOR NO KEY UPDATE;
  SELECT * INTO lapsed FROM messages m
  WHERE m.conversation_id = in_conversation AND m.id = in_id AND m.status = 'streaming' AND m.lease_until < clock_timestamp();
  IF NOT FOUND THEN
    RETURN;
  END IF;
  becomes := CASE WHEN lapsed.stop_requested THEN 'stopped' ELSE 'interrupted' END;
  UPDATE messages m SET status = becomes, rev = next_rev(in_conversation), cost_so_far = NULL, lease_owner = NULL, lease_until = NULL
  WHERE m.conversation_id = in_conversation AND m.id = in_id;
  RETURN QUERY SELECT r.* FROM record_cost(in_conversation, in_id, lapsed.lease_owner, becomes,
    jsonb_build_object('completion_tokens', ceil(char_length(lapsed.text) / 4.0)) || lapsed.cost_so_far) r;
END $$;
--> statement-breakpoint
DROP FUNCTION restart_reply;
--> statement-breakpoint
-- restart_reply: asks again, in the row of the last reply.
--
-- in_bot is the bot of that reply, if the caller knows that it streams its replies, or null. Locks the conversation, then
-- the user who wrote the message that the reply answers, so that replies begun elsewhere at the same moment are counted.
-- The message loses its text and its failure and is streaming, its lease in_owner's, or queued when in_owner is null.
-- Gives what became of it: 'streaming' or 'queued'; or why nothing did: null when in_user is not in the conversation or
-- there is no such reply; 'busy' while a reply is under way there; 'not last' when other messages follow, it answers no
-- message, or in_bot is not its bot or has been taken out of the conversation (by phone and on WhatsApp no bot is taken
-- out); 'too many' when three replies to the author of the message are under way.
-- Called by regenerate, and after an edit.
CREATE FUNCTION restart_reply (in_conversation bigint, in_user bigint, in_id bigint, in_owner text, in_bot bigint) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  question bigint;
  author bigint;
  becomes message_status;
BEGIN
  PERFORM FROM conversations c WHERE c.id = in_conversation FOR NO KEY UPDATE;
  SELECT m.reply_to INTO question FROM messages m JOIN conversation_users u ON u.conversation_id = m.conversation_id
  WHERE m.conversation_id = in_conversation AND m.id = in_id AND u.user_id = in_user AND m.sender = 'bot' AND m.status <> 'deleted';
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  IF EXISTS (SELECT FROM messages m WHERE m.conversation_id = in_conversation AND m.status IN ('streaming', 'queued')) THEN
    RETURN 'busy';
  END IF;
  IF question IS NULL OR NOT EXISTS (
    SELECT FROM messages m JOIN conversations c ON c.id = m.conversation_id
    WHERE m.conversation_id = in_conversation AND m.id = in_id AND m.chatbot_id = in_bot AND (c.origin IN ('phone', 'whatsapp')
      OR EXISTS (SELECT FROM conversation_bots b WHERE b.conversation_id = c.id AND b.chatbot_id = in_bot))
  ) OR EXISTS (
    SELECT FROM messages m
    WHERE m.conversation_id = in_conversation AND m.id > in_id AND m.status <> 'deleted' AND m.reply_to IS DISTINCT FROM question
  ) THEN
    RETURN 'not last';
  END IF;
  SELECT m.user_id INTO author FROM messages m WHERE m.conversation_id = in_conversation AND m.id = question;
  PERFORM FROM users u WHERE u.id = author FOR NO KEY UPDATE;
  IF replies_under_way(author) >= 3 THEN
    RETURN 'too many';
  END IF;
  becomes := CASE WHEN in_owner IS NULL THEN 'queued' ELSE 'streaming' END;
  UPDATE messages m SET status = becomes, rev = next_rev(in_conversation), text = '', error = NULL, cost_so_far = NULL,
    stop_requested = false, lease_owner = in_owner,
    lease_until = CASE WHEN in_owner IS NOT NULL THEN clock_timestamp() + interval '8 seconds' END
  WHERE m.conversation_id = in_conversation AND m.id = in_id;
  RETURN becomes;
END $$;
