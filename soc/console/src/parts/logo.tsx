export function Logo({ size = 24 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
      <path d="M16 2 28 9v14L16 30 4 23V9z" fill="var(--accent)" />
      <path d="M16 7v18M8.2 11.5l15.6 9M23.8 11.5l-15.6 9" stroke="#fff" strokeWidth="2.2" strokeLinecap="round" />
      <circle cx="16" cy="16" r="3.6" fill="var(--accent)" stroke="#fff" strokeWidth="2.2" />
    </svg>
  );
}

/** The platform's own logo where one is set. */
export function BrandLogo({ url, size }: { url?: string; size?: number }) {
  return url ? <img src={url} alt="" style={{ height: size ?? 24, maxWidth: (size ?? 24) * 4, objectFit: 'contain', flex: 'none' }} /> : <Logo size={size} />;
}
