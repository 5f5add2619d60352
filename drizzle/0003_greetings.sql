-- What a bot says to a guest before anything is said.
UPDATE chatbots SET settings = settings || '{"greeting": "Hello! Say something, and I will say it back."}' WHERE name = 'simulated';
--> statement-breakpoint
UPDATE chatbots SET settings = settings || '{"greeting": "Please say hello."}' WHERE name = 'favorite-song';
