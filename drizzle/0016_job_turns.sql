ALTER TABLE "turns" ADD COLUMN "wanted" boolean DEFAULT false NOT NULL;--> statement-breakpoint
-- Gives a job the turn of a key; false while another job that is under way has it, which is then told to work once more
-- (`wanted`). Whether that job is under way is asked under the row's lock, in a snapshot of its own. A job whose worker
-- died is unlocked by another worker, and loses its turn with that. The queue never retries a job that was replaced by one
-- of the same job_key while it ran, so it gets its attempts back: it may fail or die, and has taken over a wake-up.
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
  UPDATE turns t SET job = in_job, wanted = false
  WHERE t.key = in_key AND (t.job = in_job
    OR NOT EXISTS (SELECT FROM graphile_worker.jobs j WHERE j.id = t.job AND j.locked_at IS NOT NULL));
  IF FOUND THEN
    RETURN true;
  END IF;
  UPDATE turns t SET wanted = true WHERE t.key = in_key;
  UPDATE graphile_worker._private_jobs j SET attempts = 1 FROM turns t
  WHERE t.key = in_key AND j.id = t.job AND j.attempts >= j.max_attempts;
  RETURN false;
END $$;
