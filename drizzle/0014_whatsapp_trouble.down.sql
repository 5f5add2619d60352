DROP FUNCTION move_whatsapp_contact, note_whatsapp_contact, find_whatsapp_contact;
DROP TABLE whatsapp_holds;
DROP INDEX whatsapp_inbox_about, whatsapp_contacts_user_id, whatsapp_contacts_phone, whatsapp_deliveries_client_id;
ALTER TABLE whatsapp_inbox DROP COLUMN about;
ALTER TABLE whatsapp_contacts DROP COLUMN user_id;
ALTER TABLE whatsapp_deliveries DROP COLUMN template, DROP COLUMN admin_id, DROP COLUMN client_id, DROP COLUMN request_hash;
