-- Gives a job the turn of a key; false when it is another's that is under way. What is under way is asked under the
-- lock, in a snapshot of its own. A job whose worker died is unlocked by another worker, and loses its turn with that.
CREATE OR REPLACE FUNCTION take_turn (in_key text, in_job bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  LOOP
    INSERT INTO turns (key, job) VALUES (in_key, in_job) ON CONFLICT DO NOTHING;
    IF FOUND THEN
      RETURN true;
    END IF;
    PERFORM FROM turns t WHERE t.key = in_key FOR UPDATE;
    EXIT WHEN FOUND;
  END LOOP;
  UPDATE turns t SET job = in_job
  WHERE t.key = in_key AND (t.job = in_job
    OR NOT EXISTS (SELECT FROM graphile_worker.jobs j WHERE j.id = t.job AND j.locked_at IS NOT NULL));
  RETURN FOUND;
END $$;
--> statement-breakpoint
ALTER TABLE turns DROP COLUMN wanted;
