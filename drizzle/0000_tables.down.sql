DROP VIEW user_sessions;
DROP TABLE whatsapp_deliveries, whatsapp_inbox, one_time_tokens, messages, conversation_bots, conversation_users,
  conversations, chatbots, sessions, identities, users;
DROP TYPE delivery_state, engine, message_status, origin, role, sender, session_kind, token_purpose, when_busy;
