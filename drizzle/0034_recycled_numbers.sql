-- find_whatsapp_contact: finds the contact with a user id, a phone number, or both.
--
-- The user id decides. The phone number alone leads to any contact that has it; together with a user id it leads only to
-- a contact whose user id is not known. A contact whose key is the number does not have it any more if another one is stored.
--
-- Locks: nothing.
-- Returns: the contact; a row of nulls when none is known.
-- Raises: nothing.
-- Called by: note_whatsapp_contact, move_whatsapp_contact, `createInboxStore` and `deliverPost`.
CREATE OR REPLACE FUNCTION find_whatsapp_contact (in_user_id text, in_phone text) RETURNS whatsapp_contacts
LANGUAGE sql STABLE AS $$
  SELECT c.* FROM (
    SELECT 1 AS rank, u.contact FROM whatsapp_contacts u WHERE u.user_id = in_user_id
    UNION ALL
    SELECT 2, u.contact FROM whatsapp_contacts u WHERE u.contact = in_user_id
    UNION ALL
    SELECT 3, p.contact FROM whatsapp_contacts p WHERE p.phone = in_phone AND (in_user_id IS NULL OR p.user_id IS NULL)
    UNION ALL
    SELECT 4, p.contact FROM whatsapp_contacts p WHERE p.contact = in_phone AND p.phone IS NULL AND (in_user_id IS NULL OR p.user_id IS NULL)
  ) known JOIN whatsapp_contacts c ON c.contact = known.contact
  ORDER BY known.rank, c.user_id IS NULL, c.last_message_at DESC NULLS LAST, c.contact
  LIMIT 1
$$;

-- note_whatsapp_contact: finds the contact with a user id, a phone number, or both, and stores what is new about it. A
-- contact that is not known is stored. Its key is the user id or the number; a number that is the key of its former owner
-- gets -2 appended, -3, and so on. Only a notice changes a user id. A message with the former one was sent before the notice and
-- comes late, so its number is not stored: it may be the former one, too. A number that comes with a user id is taken from
-- any other contact that has it and a user id of its own.
--
-- Locks: an advisory lock on 'whatsapp_contacts', unless nothing is new. One transaction at a time changes contacts, so
-- that two transactions that introduce the same contact make one.
-- Returns: the key of the contact.
-- Raises: nothing.
-- Called by: `createInboxStore`, `createTemplateStore` and `deliverPost`.
CREATE OR REPLACE FUNCTION note_whatsapp_contact (in_user_id text, in_phone text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  known whatsapp_contacts;
  nth integer := 1;
BEGIN
  FOR attempt IN 1..2 LOOP
    known := find_whatsapp_contact(in_user_id, in_phone);
    IF known.user_id <> in_user_id THEN
      RETURN known.contact;
    END IF;
    IF known.contact IS NOT NULL AND (in_user_id IS NULL OR known.user_id = in_user_id) AND (in_phone IS NULL OR known.phone = in_phone) THEN
      RETURN known.contact;
    END IF;
    IF attempt = 1 THEN
      PERFORM pg_advisory_xact_lock(hashtextextended('whatsapp_contacts', 0));
    END IF;
  END LOOP;
  IF known.contact IS NULL THEN
    known.contact := coalesce(in_user_id, in_phone);
    WHILE EXISTS (SELECT FROM whatsapp_contacts c WHERE c.contact = known.contact) LOOP
      nth := nth + 1;
      known.contact := concat(in_phone, '-', nth);
    END LOOP;
    INSERT INTO whatsapp_contacts (contact, user_id, phone) VALUES (known.contact, in_user_id, in_phone);
  ELSE
    UPDATE whatsapp_contacts c SET user_id = coalesce(in_user_id, c.user_id), phone = coalesce(in_phone, c.phone) WHERE c.contact = known.contact;
  END IF;
  IF in_user_id IS NOT NULL THEN
    UPDATE whatsapp_contacts c SET phone = NULL WHERE c.phone = in_phone AND c.user_id IS NOT NULL AND c.contact <> known.contact;
  END IF;
  RETURN known.contact;
END $$;
