DELETE FROM chatbots WHERE engine = 'ag-ui';
ALTER TYPE engine RENAME TO engine_with_ag_ui;
CREATE TYPE engine AS ENUM ('simulated', 'guided', 'openai', 'webhook');
ALTER TABLE chatbots ALTER COLUMN engine TYPE engine USING engine::text::engine;
DROP TYPE engine_with_ag_ui;
