CREATE TABLE "whatsapp_holds" (
	"id" smallint PRIMARY KEY DEFAULT 1 NOT NULL,
	"since" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"error_code" integer,
	"error" text,
	"is_by_status" boolean NOT NULL,
	"try_at" timestamp (3) with time zone NOT NULL,
	"tried_contact" text,
	"probe_id" bigint,
	CONSTRAINT "whatsapp_holds_one" CHECK ("whatsapp_holds"."id" = 1)
);
--> statement-breakpoint
ALTER TABLE "whatsapp_contacts" ADD COLUMN "user_id" text;--> statement-breakpoint
ALTER TABLE "whatsapp_deliveries" ADD COLUMN "template" jsonb;--> statement-breakpoint
ALTER TABLE "whatsapp_deliveries" ADD COLUMN "admin_id" bigint;--> statement-breakpoint
ALTER TABLE "whatsapp_deliveries" ADD COLUMN "client_id" text;--> statement-breakpoint
ALTER TABLE "whatsapp_deliveries" ADD COLUMN "request_hash" text;--> statement-breakpoint
ALTER TABLE "whatsapp_inbox" ADD COLUMN "about" text;--> statement-breakpoint
CREATE INDEX "whatsapp_contacts_user_id" ON "whatsapp_contacts" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "whatsapp_contacts_phone" ON "whatsapp_contacts" USING btree ("phone");--> statement-breakpoint
CREATE UNIQUE INDEX "whatsapp_deliveries_client_id" ON "whatsapp_deliveries" USING btree ("admin_id","client_id") WHERE "whatsapp_deliveries"."client_id" IS NOT NULL;--> statement-breakpoint
CREATE INDEX "whatsapp_inbox_about" ON "whatsapp_inbox" USING btree ("about") WHERE "whatsapp_inbox"."about" IS NOT NULL;--> statement-breakpoint
UPDATE whatsapp_contacts SET user_id = contact WHERE contact !~ '^\d+$';--> statement-breakpoint
UPDATE whatsapp_contacts SET phone = contact WHERE contact ~ '^\d+$' AND phone IS NULL;--> statement-breakpoint
-- The contact behind a user id, a phone number, or both, as far as it is known; a row of NULLs for nobody. The user id
-- decides. A number leads to a contact whose user id is another one only when it comes alone.
CREATE FUNCTION find_whatsapp_contact (in_user_id text, in_phone text) RETURNS whatsapp_contacts
LANGUAGE sql STABLE AS $$
  SELECT c.* FROM (
    SELECT 1 AS rank, u.contact FROM whatsapp_contacts u WHERE u.user_id = in_user_id
    UNION ALL
    SELECT 2, u.contact FROM whatsapp_contacts u WHERE u.contact = in_user_id
    UNION ALL
    SELECT 3, p.contact FROM whatsapp_contacts p WHERE p.phone = in_phone AND (in_user_id IS NULL OR p.user_id IS NULL)
    UNION ALL
    SELECT 4, p.contact FROM whatsapp_contacts p WHERE p.contact = in_phone AND (in_user_id IS NULL OR p.user_id IS NULL)
  ) known JOIN whatsapp_contacts c ON c.contact = known.contact
  ORDER BY known.rank, c.user_id IS NULL, c.last_message_at DESC NULLS LAST, c.contact
  LIMIT 1
$$;
--> statement-breakpoint
-- The key of the contact behind a user id, a phone number, or both; notes what is new of it. One transaction at a time
-- changes contacts, until it is committed, so that two that introduce the same contact make one. A number that comes with
-- a user id is no longer that of a contact with another one.
CREATE FUNCTION note_whatsapp_contact (in_user_id text, in_phone text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  known whatsapp_contacts;
BEGIN
  FOR attempt IN 1..2 LOOP
    known := find_whatsapp_contact(in_user_id, in_phone);
    IF known.contact IS NOT NULL AND (in_user_id IS NULL OR known.user_id = in_user_id) AND (in_phone IS NULL OR known.phone = in_phone) THEN
      RETURN known.contact;
    END IF;
    IF attempt = 1 THEN
      PERFORM pg_advisory_xact_lock(hashtextextended('whatsapp_contacts', 0));
    END IF;
  END LOOP;
  IF known.contact IS NULL THEN
    known.contact := coalesce(in_user_id, in_phone);
    INSERT INTO whatsapp_contacts (contact, user_id, phone) VALUES (known.contact, in_user_id, in_phone);
  ELSE
    UPDATE whatsapp_contacts c SET user_id = coalesce(in_user_id, c.user_id), phone = coalesce(in_phone, c.phone) WHERE c.contact = known.contact;
  END IF;
  IF in_user_id IS NOT NULL THEN
    UPDATE whatsapp_contacts c SET phone = NULL WHERE c.phone = in_phone AND c.user_id IS NOT NULL AND c.contact <> known.contact;
  END IF;
  RETURN known.contact;
END $$;
--> statement-breakpoint
-- WhatsApp tells that a contact has another number, another user id, or both. Gives the key of the contact, which stays.
-- Somebody who is known by the new address already stays who they are.
CREATE FUNCTION move_whatsapp_contact (in_user_id text, in_phone text, in_new_user_id text, in_new_phone text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  known whatsapp_contacts;
  newer whatsapp_contacts;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('whatsapp_contacts', 0));
  known := find_whatsapp_contact(in_user_id, NULL);
  IF known.contact IS NULL THEN
    known := find_whatsapp_contact(NULL, in_phone);
  END IF;
  newer := find_whatsapp_contact(in_new_user_id, in_new_phone);
  IF known.contact IS NOT NULL AND (newer.contact IS NULL OR newer.contact = known.contact) THEN
    UPDATE whatsapp_contacts c SET user_id = coalesce(in_new_user_id, c.user_id), phone = in_new_phone
    WHERE c.contact = known.contact AND coalesce(in_new_user_id, in_new_phone) IS NOT NULL;
  END IF;
  RETURN coalesce(known.contact, in_user_id, in_phone);
END $$;
