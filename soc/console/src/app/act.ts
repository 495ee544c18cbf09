import { useQueryClient } from '@tanstack/react-query';
import { useCallback, useState, type ReactNode } from 'react';
import { useFeedback } from './feedback';

interface Outcome {
  /** What to say once it is done. */
  said?: ReactNode;
  undo?: () => void;
  /** First elements of the query keys that are to be asked again. */
  renew?: readonly string[];
}

/** Runs a change: busy meanwhile, then a word, a renewal of what shows it, and the undo. Answers whether it was done. */
export function useAct(): {
  busy: boolean;
  act: (work: () => Promise<unknown>, then?: Outcome) => Promise<boolean>;
  /** The word and the renewal alone, for a change that a dialog has made. */
  tell: (then: Outcome) => void;
} {
  const client = useQueryClient();
  const { done, failed } = useFeedback();
  const [running, setRunning] = useState(0);
  const tell = useCallback(
    (then: Outcome) => {
      if (then.said) done(then.said, then.undo);
      for (const key of then.renew ?? []) void client.invalidateQueries({ queryKey: [key] });
    },
    [client, done],
  );
  const act = useCallback(
    async (work: () => Promise<unknown>, then: Outcome = {}) => {
      setRunning((n) => n + 1);
      try {
        await work();
        if (then.said) done(then.said, then.undo);
        return true;
      } catch (e) {
        failed(e);
        return false;
      } finally {
        setRunning((n) => n - 1);
        for (const key of then.renew ?? []) void client.invalidateQueries({ queryKey: [key] });
      }
    },
    [client, done, failed],
  );
  return { busy: running > 0, act, tell };
}
