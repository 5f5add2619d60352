DELETE FROM chatbots WHERE name IN ('simulated', 'favorite-song');
DROP FUNCTION append_message, begin_conversation;
