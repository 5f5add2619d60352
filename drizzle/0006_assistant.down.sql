DELETE FROM chatbots WHERE name = 'assistant' AND engine = 'openai';
