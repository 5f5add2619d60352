DROP INDEX "conversation_users_user";--> statement-breakpoint
ALTER TABLE "conversation_users" ADD COLUMN "used_in" timestamp (3) with time zone DEFAULT now() NOT NULL;--> statement-breakpoint
CREATE INDEX "conversation_users_used" ON "conversation_users" USING btree ("user_id","used_in");--> statement-breakpoint
UPDATE conversation_users u SET used_in = date_bin('1 minute', c.last_updated, 'epoch') FROM conversations c WHERE c.id = u.conversation_id;
--> statement-breakpoint
-- Whoever comes into a conversation holds its lock, as does whoever uses it.
CREATE FUNCTION set_used_in () RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  NEW.used_in := coalesce((SELECT date_bin('1 minute', c.last_updated, 'epoch') FROM conversations c WHERE c.id = NEW.conversation_id), NEW.used_in);
  RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER set_used_in BEFORE INSERT ON conversation_users FOR EACH ROW EXECUTE FUNCTION set_used_in();
--> statement-breakpoint
CREATE FUNCTION move_used_in () RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE conversation_users u SET used_in = date_bin('1 minute', NEW.last_updated, 'epoch') WHERE u.conversation_id = NEW.id;
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER move_used_in AFTER UPDATE OF last_updated ON conversations FOR EACH ROW
  WHEN (date_bin('1 minute', OLD.last_updated, 'epoch') <> date_bin('1 minute', NEW.last_updated, 'epoch'))
  EXECUTE FUNCTION move_used_in();
